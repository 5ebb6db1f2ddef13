"""A whole node is lost while a trial trains on it: another one goes on from the trial's checkpoint."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from platform.study.study import Study
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import RunStore
from tests.nodes import Nodes
from tests.platform.noop_studies import noop_study
from trainables.telemetry import read_pulses

pytestmark = pytest.mark.long


def first_pulse(study: Study, home: Path, seconds: float = 120.0) -> tuple[str, dict[str, Any]]:
    """Wait for signs of life in the store, and return the first trial that gives one."""
    deadline = time.monotonic() + seconds
    while not (pulses := read_pulses(LocalStore(home / "store"), study.id)):
        assert time.monotonic() < deadline, "no trial began"
        time.sleep(0.02)
    return min(pulses.items())


def test_a_trial_goes_on_on_another_node(two_nodes: Nodes, tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 3\nbase: {noop.epochs: 10, noop.sleep: 0.3}")
    driver = two_nodes.drive("driver", study.path, tmp_path, (tmp_path / "store").as_uri())
    lost, pulse = first_pulse(study, tmp_path)
    two_nodes.lose(psutil.Process(pulse["pid"]).ppid())
    output, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors[-3000:]
    assert json.loads(output.splitlines()[-1])["trials"] == {"completed": 3, "pruned": 0, "failed": 0, "unfinished": 0}
    assert not psutil.pid_exists(pulse["pid"])
    events = list(EventLog(LocalStore(tmp_path / "store"), study.id).read())
    ends = {event["trial"]: event["body"] for event in events if event["kind"] == "finished"}
    assert len(ends) == sum(event["kind"] == "finished" for event in events) == 3
    assert ends[lost]["retries"] == {"NODE_LOST": 1}
    rows = [(e["trial"], row["epoch"]) for e in events if e["kind"] == "epochs" for row in e["body"]["rows"]]
    assert Counter(rows) == {(trial, epoch): 1 for trial in ends for epoch in range(1, 11)}
    identity = ends[lost]["runs"]["noop"]["identity"]
    run = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache").find(identity)
    assert run is not None
    assert int(run.info["continued_after"]) >= 1
