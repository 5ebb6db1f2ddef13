"""A node is lost for good: a range of workers goes on with fewer; a number waits, tells what it lacks and ends."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from platform.study.study import Study
from storage.events import EventLog
from storage.local import LocalStore
from tests.nodes import Nodes
from tests.platform.noop_studies import noop_study

pytestmark = pytest.mark.long
TEXT = "trials: 1\nseed: %d\nbase: {noop.workers: %s, noop.epochs: 8, noop.sleep: 0.4}"


def events(study: Study, home: Path) -> list[dict[str, Any]]:
    return list(EventLog(LocalStore(home / "store"), study.id).read())


def run_and_lose_one(nodes: Nodes, study: Study, home: Path) -> tuple[int, str, str]:
    """Run `study`, take a node away when the first epochs are on record, and return exit code, output and errors."""
    driver = nodes.drive("impatient_driver", study.path, home, (home / "store").as_uri())
    deadline = time.monotonic() + 120
    while "epochs" not in {event["kind"] for event in events(study, home)}:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no epoch was trained"
        time.sleep(0.05)
    nodes.lose(max(nodes.disks))
    output, errors = driver.communicate(timeout=240)
    return driver.returncode, output, errors


def test_a_range_shrinks_with_the_cluster(two_nodes: Nodes, tmp_path: Path) -> None:
    study = noop_study(tmp_path, TEXT % (0, "1..2"))
    code, output, errors = run_and_lose_one(two_nodes, study, tmp_path)
    assert code == 0, errors[-3000:]
    assert json.loads(output.splitlines()[-1])["trials"] == {"completed": 1, "pruned": 0, "failed": 0, "unfinished": 0}
    (end,) = [event["body"] for event in events(study, tmp_path) if event["kind"] == "finished"]
    assert end["workers"] == 1
    assert sum(end["retries"].values()) >= 1
    epochs = [event["body"]["rows"] for event in events(study, tmp_path) if event["kind"] == "epochs"]
    assert Counter(row["epoch"] for rows in epochs for row in rows) == dict.fromkeys(range(1, 9), 1), (
        "no epoch is lost or doubled"
    )


def test_a_number_does_not_wait_for_ever(two_nodes: Nodes, tmp_path: Path) -> None:
    study = noop_study(tmp_path, TEXT % (1, "2"))
    code, _, errors = run_and_lose_one(two_nodes, study, tmp_path)
    assert code == 1
    assert "a trial needs 2 workers of 1 CPU each, but the nodes of the cluster hold 1 of that now" in errors
    assert "finished" not in {event["kind"] for event in events(study, tmp_path)}, "the same command goes on with it"
