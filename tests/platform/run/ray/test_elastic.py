"""A node is lost for good: a range of workers goes on with fewer, a number of them waits, tells what it lacks and ends.

The cluster lives in a process of its own, since Ray decides on import whether one stays on the loopback address.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from storage.events import EventLog
from storage.local import LocalStore
from tests.platform.noop_studies import noop_study

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace

import ray
from ray.cluster_utils import Cluster
from platform.study.sweep_file import load_study
from platform.run.ray import placement
from platform.run.driver import run_study
from platform.errors import StudyError
from tests.platform.run.test_workers import When

home = Path(sys.argv[1])
uri = (home / "store").as_uri()
options = SimpleNamespace(home=home, store=uri, tracking="", address=None, max_concurrent=None, stage_deadline=None)
health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}
cluster = Cluster(True, False, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": health})
cluster.add_node(num_cpus=1)
others = [cluster.add_node(num_cpus=1)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
placement.NODES_TIMEOUT = 3.0

def run(name, *views):
    try:
        return run_study(load_study(home / f"{name}.yaml"), options, views=lambda: views).trials
    except StudyError as error:
        return str(error)

def lose_one():
    cluster.remove_node(others.pop(), allow_graceful=False)

told = {"range": run("range", When("epochs", lose_one))}
others.append(cluster.add_node(num_cpus=1))
told["number"] = run("number", When("epochs", lose_one))
ray.shutdown()
cluster.shutdown()
print(json.dumps(told))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_range_shrinks_with_the_cluster_and_a_number_does_not_wait_for_ever(tmp_path: Path) -> None:
    text = "trials: 1\nseed: %d\nbase: {noop.workers: %s, noop.epochs: 8, noop.sleep: 0.4}"
    asked = {"range": (0, "1..2"), "number": (1, "2")}
    studies = {name: noop_study(tmp_path, text % workers, name=name) for name, workers in asked.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    all_done = {"completed": 1, "pruned": 0, "failed": 0, "unfinished": 0}
    assert told["range"] == all_done
    assert "a trial needs 2 workers of 1 CPU each, but the nodes of the cluster hold 1 of that now" in told["number"]
    events: list[dict[str, Any]] = list(EventLog(LocalStore(tmp_path / "store"), studies["range"].id).read())
    (end,) = [event["body"] for event in events if event["kind"] == "finished"]
    assert end["workers"] == 1
    assert sum(end["retries"].values()) >= 1
    rows = [row["epoch"] for event in events if event["kind"] == "epochs" for row in event["body"]["rows"]]
    assert Counter(rows) == dict.fromkeys(range(1, 9), 1), "no epoch is lost or doubled"
    lost = list(EventLog(LocalStore(tmp_path / "store"), studies["number"].id).read())
    assert "finished" not in {event["kind"] for event in lost}, "the same command goes on with it"
