"""A study on two Ray nodes that share nothing but an S3 store, as the nodes of a cluster do.

The cluster lives in a process of its own, since Ray decides on import whether one stays on the loopback address.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.events import EventLog
from storage.runs import RunStore
from storage.uri import open_store
from trainables.provenance import code_facts

ROOT = Path(__file__).resolve().parents[4]
# Long enough that a node whose first worker takes its time to start still gets some of the trials.
STUDY = """
target: noop.value
trials: 8
sampler: random
base: {noop.sleep: 3.0}
space: {noop.value: {uniform: [0.0, 1.0]}}
"""
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

memory = {"object_store_memory": 80 * 1024 * 1024}
cluster = Cluster(True, False, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
for disk in sys.argv[1:]:
    cluster.add_node(num_cpus=1, env_vars={"MINDSWEEP_SCRATCH": disk}, **memory)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
pytestmark = [pytest.mark.ray, pytest.mark.long]


@dataclass(frozen=True)
class TwoNodes:
    address: str
    disks: tuple[Path, Path]
    """What each node takes for its own disk."""


@pytest.fixture(scope="module")
def two_nodes(
    tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str, aws: Callable[[str], AbstractContextManager[None]]
) -> Iterator[TwoNodes]:
    """Start a head that runs no trials and two nodes of one CPU, which know the S3 server from their environment."""
    disks = (tmp_path_factory.mktemp("disk-a"), tmp_path_factory.mktemp("disk-b"))
    with aws(s3_endpoint):
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, *map(str, disks)],
            cwd=disks[0],  # the nodes have no checkout where they run
            env={**os.environ, **LOOPBACK},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"
        yield TwoNodes(address, disks)
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def sweep(nodes: TwoNodes, folder: Path, store: str) -> subprocess.CompletedProcess[str]:
    """Run the study as a user does."""
    file = folder / "two_nodes.yaml"
    file.write_text(STUDY)
    command = [sys.executable, "-m", "platform.sweep", str(file), "--address", nodes.address, "--store", store]
    command += ["--home", str(folder / "home"), "--json"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **LOOPBACK}, text=True, capture_output=True, timeout=300
    )


def test_trials_run_on_both_nodes_and_meet_in_the_store_alone(
    two_nodes: TwoNodes, tmp_path: Path, s3_endpoint: str, aws: Callable[[str], AbstractContextManager[None]]
) -> None:
    uri = "s3://mindsweep/two-nodes"
    with aws(s3_endpoint):
        done = sweep(two_nodes, tmp_path, uri)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["trials"] == {"completed": 8, "pruned": 0, "failed": 0, "unfinished": 0}
        store = open_store(uri)
        events = list(EventLog(store, summary["study"]).read())
        runs = RunStore(store, cache=tmp_path / "cache")
        ended = [event["body"] for event in events if event["kind"] == "finished"]
        made = [runs.find(body["runs"]["noop"]["identity"], deep=True) for body in ended]
    for disk in two_nodes.disks:
        assert list(disk.glob(f"{summary['study']}-*")) == [], "something is left on this node"
    times: list[tuple[float, int]] = []
    for event in events:
        times += [(event["time"], {"started": 1, "finished": -1}.get(event["kind"], 0))]
    running = [sum(step for time, step in times if time <= now) for now, _ in times]
    assert max(running) == 2, "both nodes, of one CPU each, had a trial at once"
    facts = code_facts()
    for manifest in made:
        assert manifest is not None
        assert manifest.info["code"] == facts["code"], "the nodes ran the driver's code"
        assert manifest.info.get("commit") == facts.get("commit"), "which has no .git there"
    assert not (tmp_path / "home" / "store").exists()


def test_a_store_that_a_node_does_not_see_is_refused_before_any_trial(two_nodes: TwoNodes, tmp_path: Path) -> None:
    done = sweep(two_nodes, tmp_path, "memory://")  # every process has its own
    assert done.returncode == 2, done.stderr
    assert "cannot use the store memory://" in done.stderr
    assert "--store s3://" in done.stderr
