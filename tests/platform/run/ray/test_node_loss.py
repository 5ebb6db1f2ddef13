"""A whole node is lost while a trial trains on it: another one goes on from the trial's checkpoint.

The cluster lives in a process of its own, since Ray decides on import whether one stays on the loopback address.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import RunStore
from tests.platform.noop_studies import noop_study

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = """
import json, os, sys, threading, time
from pathlib import Path
from types import SimpleNamespace

import psutil, ray
from ray.cluster_utils import Cluster
from platform.study.sweep_file import load_study
from platform.run.driver import run_study
from storage.uri import open_store
from trainables.telemetry import read_pulses

study, home = load_study(Path(sys.argv[1])), Path(sys.argv[2])
uri = (home / "store").as_uri()
health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}
cluster = Cluster(True, False, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": health})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
lost = {}

def lose():
    while not (pulses := read_pulses(open_store(uri), study.id)):
        time.sleep(0.02)
    trial, pulse = sorted(pulses.items())[0]
    raylet = psutil.Process(pulse["pid"]).ppid()
    (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid == raylet]
    cluster.remove_node(node, allow_graceful=False)
    lost.update(trial=trial, pid=pulse["pid"])

thread = threading.Thread(target=lose)
thread.start()
options = SimpleNamespace(home=home, store=uri, tracking="", address=None, max_concurrent=None, stage_deadline=None)
summary = run_study(study, options)
thread.join()
left = psutil.pid_exists(lost["pid"])
ray.shutdown()
cluster.shutdown()
print(json.dumps({"trials": summary.trials, "lost": lost["trial"], "left": left}))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_trial_goes_on_on_another_node(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 3\nbase: {noop.epochs: 10, noop.sleep: 0.3}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, study.path, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["trials"] == {"completed": 3, "pruned": 0, "failed": 0, "unfinished": 0}
    assert told["left"] is False
    events = list(EventLog(LocalStore(tmp_path / "store"), study.id).read())
    ends = {event["trial"]: event["body"] for event in events if event["kind"] == "finished"}
    assert len(ends) == sum(event["kind"] == "finished" for event in events) == 3
    assert ends[told["lost"]]["retries"] == {"NODE_LOST": 1}
    rows = [(e["trial"], row["epoch"]) for e in events if e["kind"] == "epochs" for row in e["body"]["rows"]]
    assert Counter(rows) == {(trial, epoch): 1 for trial in ends for epoch in range(1, 11)}
    identity = ends[told["lost"]]["runs"]["noop"]["identity"]
    run = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache").find(identity)
    assert run is not None
    assert int(run.info["continued_after"]) >= 1
