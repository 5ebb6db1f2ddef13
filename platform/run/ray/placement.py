"""What is reserved for each trial on the cluster, and what becomes of it when nodes go and come."""

import logging
import time
from copy import copy
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from platform.errors import StudyError
from platform.run.admission import Grant, Need, Node, held

_log = logging.getLogger(__name__)
PATIENCE = 600.0
"""Seconds for which a study waits for nodes when those that are left cannot hold a trial."""
_PAUSE = 2.0
"""Seconds between two looks at the cluster's nodes."""


def nodes() -> list[Node]:
    """Return the machines of the cluster."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [
        Node(node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in alive
    ]


class Places(tune.PlacementGroupFactory):
    """What is reserved for each trial: one place, or those of its workers beside it.

    Of a range of workers each attempt gets as many as the nodes can hold when it is placed.

    As a context manager it takes back, in the end, what Tune has not: an interrupted one leaves that to the end of the
    driver's process, on a cluster that may be others' too.
    """

    def __init__(self, need: Need, grant: Grant) -> None:
        bundles: list[dict[str, float]] = [{}] if need.workers > 1 else []
        bundles += [grant.bundle] * grant.workers
        self._plain = tune.PlacementGroupFactory(bundles)
        super().__init__(bundles)
        self._need, self._grant = need, grant
        self._made: list[PlacementGroup] = []
        self._waiting: list[PlacementGroup] = []
        """Some of those that were made; among them all that are not there yet."""
        self._room = grant.workers
        self._next = 0.0
        self._since: float | None = None
        """Since when the nodes can hold no trial, by the monotonic clock."""

    def __deepcopy__(self, memo: object) -> "Places":
        """Return itself: Tune copies it for each trial, and all groups are to be known in one place."""
        return self

    def __reduce__(self) -> Any:
        """Reach workers as Tune's own class: they do not know this module."""
        return copy, (self._plain,)

    def to_placement_group(self) -> PlacementGroup:
        """Reserve what one trial needs."""
        made: PlacementGroup
        if self._need.workers > self._need.fewest:
            workers = min(self._need.workers, max(self._need.fewest, held(self._grant, nodes())))
            made = placement_group([self._grant.bundle] * workers)
        else:
            made = super().to_placement_group()  # type: ignore[no-untyped-call]
        self._made.append(made)
        self._waiting.append(made)
        return made

    @property
    def suffice(self) -> bool:
        """Whether the nodes could hold a trial when they were last looked at."""
        return self._since is None

    def look(self) -> None:
        """Look, every other second, what the nodes that are there can hold.

        Raises:
            StudyError: For too long they could not hold a single trial; says what it needs and what there is.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _PAUSE
        there = nodes()
        self._room = held(self._grant, there)
        if self._room >= self._need.fewest:
            self._since = None
            return
        lack = self._lack(there)
        if self._since is None:
            self._since = now
            _log.warning("%s; waiting up to %g s for nodes", lack, PATIENCE)
        if now - self._since >= PATIENCE:
            raise StudyError(
                f"{lack}, and for {PATIENCE:g} s no node has come. What is finished is kept; the same command goes on "
                "once the cluster has the room"
            )

    def _lack(self, there: list[Node]) -> str:
        share = " and ".join(f"{count:g} {kind}" for kind, count in self._grant.bundle.items())
        workers = f"{self._need.fewest} workers of {share} each" if self._need.fewest > 1 else share
        left = ", ".join(f"{node.name}: {node.cpus} CPU, {node.gpus} GPU" for node in there if node.cpus > 0)
        return f"a trial needs {workers}, but the nodes of the cluster hold {self._room} of that now ({left or 'none'})"

    def stranded(self) -> int:
        """Return how many reservations wait that the nodes cannot grant any more: they are too large for what is left.

        Nodes that come would grant them, but a smaller reservation may do meanwhile.
        """
        self._waiting = [group for group in self._waiting if group.bundle_count <= self._room or _waits(group)]
        return sum(group.bundle_count > self._room for group in self._waiting)

    def __enter__(self) -> "Places":
        return self

    def __exit__(self, *_: object) -> None:
        for group in self._made:
            remove_placement_group(group)


def _waits(group: PlacementGroup) -> bool:
    return bool(placement_group_table(group).get("state") == "PENDING")
