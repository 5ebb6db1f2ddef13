"""What every node of a Ray cluster is asked: whether it reaches the store, and to remove what killed workers left."""

import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from platform.errors import UserError
from trainables.on_ray import clear_node, unseen

_log = logging.getLogger(__name__)
_TIMEOUT = 120.0
"""Seconds for all nodes to answer: the first worker of a node downloads the code and imports it."""
_CLEARING = 60.0
"""Seconds for all nodes to remove files."""


def check_nodes(worker_settings: Mapping[str, str], key: str) -> None:
    """Ask every node that can run trials whether the store holds `key`, which the driver has written.

    Raises:
        UserError: A node does not find the key; the message names the node. The usual reason is a store on the driver's
            own disk.
    """
    nodes = _nodes()
    if len(nodes) < 2:
        return
    task = ray.remote(unseen)
    pending = [(node["NodeManagerAddress"], _on(node, task).remote(dict(worker_settings), key)) for node in nodes]
    ready, _ = ray.wait([answer for _, answer in pending], num_returns=len(pending), timeout=_TIMEOUT)
    for address, answer in pending:
        problem = ray.get(answer) if answer in ready else f"no answer within {_TIMEOUT:.0f} s"
        if problem is not None:
            remedy = "use a store that every node reaches: --store s3://BUCKET/PREFIX, or a folder that all nodes share"
            raise UserError(f"node {address} cannot use the store {worker_settings['store']}: {problem}; {remedy}")


def clear_nodes(worker_settings: Mapping[str, str]) -> None:
    """Remove the study's scratch folder on every node. No worker of the study may run.

    A busy node takes its time to start a process. A node that has not answered after `_CLEARING` is named in a warning,
    and its task is cancelled: it would remove the folder of trials that start meanwhile.

    A cluster that is lost raises no error here, which would hide why.
    """
    try:
        task = ray.remote(clear_node)
        pending = {_on(node, task).remote(dict(worker_settings)): node["NodeManagerAddress"] for node in _nodes()}
        _, late = ray.wait(list(pending), num_returns=len(pending), timeout=_CLEARING) if pending else ([], [])
        for answer in late:
            ray.cancel(answer, force=True)
    except Exception as error:
        _log.info("scratch folders of other nodes may be left: %s", error)
        return
    if late:
        _log.warning(
            "no answer within %.0f s from %s: %s may be left there; the next start of the study removes it",
            _CLEARING,
            ", ".join(sorted({f"node {pending[answer]}" for answer in late})),
            worker_settings["scratch"],
        )


def _nodes() -> list[Any]:
    """Return the nodes that can run trials."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]  # type: ignore[no-untyped-call]


def _on(node: Mapping[str, Any], task: Any) -> Any:
    affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return task.options(num_cpus=0, scheduling_strategy=affinity, max_retries=1)
