"""The placement groups of trials on a Ray cluster, also when nodes are lost or added."""

import logging
import time
from copy import copy
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from platform.errors import StudyError
from platform.run.admission import Grant, Need, Node, worker_capacity

_log = logging.getLogger(__name__)
NODES_TIMEOUT = 600.0
"""Seconds for which a study waits for new nodes when the remaining ones cannot hold a trial."""
_INTERVAL = 2.0
"""Seconds between two queries of the cluster's nodes."""


def nodes() -> list[Node]:
    """Return the nodes of the cluster that are alive."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [
        Node(node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in alive
    ]


class Reservations(tune.PlacementGroupFactory):
    """Creates the placement group of each trial: one bundle, or one for each worker of its coordinator.

    If the number of workers is a range, an attempt gets as many as the nodes can hold when it is reserved.

    As a context manager it removes all groups that it created at exit. After an interrupt, Tune keeps its groups until
    the process of the driver ends, on a cluster that others may use.
    """

    def __init__(self, need: Need, grant: Grant) -> None:
        bundles: list[dict[str, float]] = [{}] if need.has_coordinator else []
        bundles += [grant.bundle] * grant.workers
        self._plain = tune.PlacementGroupFactory(bundles)
        super().__init__(bundles)
        self._need, self._grant = need, grant
        self._created: list[PlacementGroup] = []
        self._pending: list[PlacementGroup] = []
        """A part of `_created` that holds all groups which Ray has not granted yet."""
        self._capacity = grant.workers
        """How many workers the nodes can hold at a time."""
        self._next_query = 0.0
        self._too_small_since: float | None = None
        """The time since which the nodes can hold no trial. Monotonic clock."""

    def __deepcopy__(self, memo: object) -> "Reservations":
        """Return itself: Tune copies the factory for each trial, and one object must know all groups."""
        return self

    def __reduce__(self) -> Any:
        """Pickle as Tune's own class: workers do not have this module."""
        return copy, (self._plain,)

    def to_placement_group(self) -> PlacementGroup:
        """Create the placement group of one trial. Called by Tune."""
        group: PlacementGroup
        if self._need.workers > self._need.fewest_workers:
            workers = min(self._need.workers, max(self._need.fewest_workers, worker_capacity(self._grant, nodes())))
            group = placement_group([self._grant.bundle] * workers)
        else:
            group = super().to_placement_group()  # type: ignore[no-untyped-call]
        self._created.append(group)
        self._pending.append(group)
        return group

    @property
    def can_hold_a_trial(self) -> bool:
        """Whether the nodes could hold a trial when they were last queried."""
        return self._too_small_since is None

    def query_nodes(self) -> None:
        """Update the number of workers that the nodes can hold, at most every two seconds.

        Raises:
            StudyError: The nodes could not hold a single trial for `NODES_TIMEOUT`. The message shows the needs of a
                trial and the resources of the nodes.
        """
        now = time.monotonic()
        if now < self._next_query:
            return
        self._next_query = now + _INTERVAL
        present = nodes()
        self._capacity = worker_capacity(self._grant, present)
        if self._capacity >= self._need.fewest_workers:
            self._too_small_since = None
            return
        shortage = self._shortage(present)
        if self._too_small_since is None:
            self._too_small_since = now
            _log.warning("%s; waiting up to %g s for nodes", shortage, NODES_TIMEOUT)
        if now - self._too_small_since >= NODES_TIMEOUT:
            raise StudyError(
                f"{shortage}, and no node was added for {NODES_TIMEOUT:g} s. Finished trials are stored; the same "
                "command continues the study once the cluster is large enough"
            )

    def _shortage(self, present: list[Node]) -> str:
        share = " and ".join(f"{count:g} {kind}" for kind, count in self._grant.bundle.items())
        workers = f"{self._need.fewest_workers} workers of {share} each" if self._need.fewest_workers > 1 else share
        listed = ", ".join(f"{node.name}: {node.cpus} CPU, {node.gpus} GPU" for node in present if node.cpus > 0)
        count = self._capacity
        return f"a trial needs {workers}, but the nodes of the cluster hold {count} of that now ({listed or 'none'})"

    def too_large(self) -> int:
        """Return how many pending placement groups have more bundles than the nodes can hold.

        They wait for new nodes, although a smaller group may be possible now.
        """
        self._pending = [group for group in self._pending if group.bundle_count <= self._capacity or _is_pending(group)]
        return sum(group.bundle_count > self._capacity for group in self._pending)

    def __enter__(self) -> "Reservations":
        return self

    def __exit__(self, *_: object) -> None:
        for group in self._created:
            remove_placement_group(group)


def _is_pending(group: PlacementGroup) -> bool:
    return bool(placement_group_table(group).get("state") == "PENDING")
