"""Checks that every node of a Ray cluster reaches the store of the study. Results of other nodes would be lost."""

from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from platform.errors import UserError
from trainables.on_ray import unseen

_TIMEOUT = 120.0
"""Seconds for all nodes to answer: the first worker of a node downloads the code and imports it."""


def check_nodes(worker_settings: Mapping[str, str], key: str) -> None:
    """Ask every node that can run trials whether the store holds `key`, which the driver has written.

    Raises:
        UserError: A node does not find the key; the message names the node. The usual reason is a store on the driver's
            own disk.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    task = ray.remote(unseen)
    pending = [(node["NodeManagerAddress"], _on(node, task).remote(dict(worker_settings), key)) for node in nodes]
    ready, _ = ray.wait([answer for _, answer in pending], num_returns=len(pending), timeout=_TIMEOUT)
    for address, answer in pending:
        problem = ray.get(answer) if answer in ready else f"no answer within {_TIMEOUT:.0f} s"
        if problem is not None:
            remedy = "use a store that every node reaches: --store s3://BUCKET/PREFIX, or a folder that all nodes share"
            raise UserError(f"node {address} does not see the store {worker_settings['store']}: {problem}; {remedy}")


def _on(node: Mapping[str, Any], task: Any) -> Any:
    affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return task.options(num_cpus=0, scheduling_strategy=affinity, max_retries=1)
