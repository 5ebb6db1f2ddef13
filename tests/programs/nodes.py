"""Start a Ray cluster whose head has no CPU, print its address, and do what is asked on stdin, to whose end it lives.

`add DISK` adds a node of one CPU that keeps its files in DISK, and prints the process id of its raylet, by which the
node is named: `remove PID` ends it in order, `lose PID` as a power cut would.
"""

import sys
from typing import Any

from ray.cluster_utils import Cluster

MEMORY = {"object_store_memory": 80 << 20}
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 4}


def say(text: object) -> None:
    print(text, flush=True)


def add(cluster: Any, disk: str) -> tuple[int, Any]:
    node = cluster.add_node(num_cpus=1, env_vars={"MINDSWEEP_SCRATCH": disk}, **MEMORY)
    return node.all_processes["raylet"][0].process.pid, node


def serve() -> None:
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH, **MEMORY}
    cluster: Any = Cluster(True, False, head_node_args=head)
    say(cluster.address)
    nodes: dict[int, Any] = {}
    for line in sys.stdin:
        verb, what = line.split(maxsplit=1)
        if verb == "add":
            pid, node = add(cluster, what.strip())
            nodes[pid] = node
            say(pid)
        else:
            cluster.remove_node(nodes.pop(int(what)), allow_graceful=verb == "remove")
            say("gone")
    cluster.shutdown()


if __name__ == "__main__":
    serve()
