"""The nodes of a Ray cluster: each must see the study's store, or its trials would be kept where nobody looks."""

from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from platform.errors import UserError
from trainables.on_ray import unseen

_WAIT = 120.0
"""Seconds for all nodes to answer: a node's first worker brings the code along and imports it."""


def check_nodes(place: Mapping[str, str], key: str) -> None:
    """Ask every node that can run trials whether it finds `key`, which the driver has written, in the store.

    Raises:
        UserError: One does not, with its address; a store on a driver's own disk is the usual reason.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    task = ray.remote(unseen)
    asked = [(node["NodeManagerAddress"], _on(node, task).remote(dict(place), key)) for node in nodes]
    ready, _ = ray.wait([answer for _, answer in asked], num_returns=len(asked), timeout=_WAIT)
    for address, answer in asked:
        problem = ray.get(answer) if answer in ready else f"no answer within {_WAIT:.0f} s"
        if problem is not None:
            shared = (
                "give a store that every node reaches: --store s3://BUCKET/PREFIX, or a folder that all of them share"
            )
            raise UserError(f"node {address} does not see the store {place['store']}: {problem}; {shared}")


def _on(node: Mapping[str, Any], task: Any) -> Any:
    affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return task.options(num_cpus=0, scheduling_strategy=affinity, max_retries=1)
