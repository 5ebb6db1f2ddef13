"""Placement groups while nodes are lost and added. A list of nodes stands for Ray; on a real cluster: test_elastic."""

import logging
import pickle
from copy import deepcopy
from typing import Any

import pytest
from ray import tune
from ray.air.execution import PlacementGroupResourceManager

from platform.errors import StudyError
from platform.run.admission import Grant, Need, Node
from platform.run.ray import placement
from platform.run.ray.placement import NODES_TIMEOUT, Reservations


class Cluster:
    """Stands for Ray: the nodes that are alive, the time, and the reservations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cpus: list[int] = []
        self.now = 0.0
        self.granted: set[int] = set()
        monkeypatch.setattr(placement, "nodes", self.nodes)
        monkeypatch.setattr(placement, "placement_group", Group)
        monkeypatch.setattr(placement, "placement_group_table", self.table)
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def nodes(self) -> list[Node]:
        return [Node(f"n{number}", cpus) for number, cpus in enumerate(self.cpus)]

    def table(self, group: "Group") -> dict[str, Any]:
        return {"state": "CREATED" if id(group) in self.granted else "PENDING"}

    def has(self, *cpus: int, after: float = 10.0) -> None:
        self.cpus = list(cpus)
        self.now += after


class Group:
    def __init__(self, bundles: list[dict[str, float]]) -> None:
        self.bundle_count = len(bundles)

    def ready(self) -> "Group":
        return self


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_of_a_range_each_attempt_gets_what_there_is(cluster: Cluster) -> None:
    reservations = Reservations(Need(4, "motion", min_workers=2), Grant(1, 0.0, workers=3))
    sizes = []
    for cpus in ((2, 1), (9,), (2,), (1,), ()):
        cluster.has(*cpus)
        sizes.append(reservations.to_placement_group().bundle_count)
    assert sizes == [3, 4, 2, 2, 2]


def test_what_nodes_that_are_left_cannot_grant_is_given_up(cluster: Cluster) -> None:
    reservations = Reservations(Need(2, "motion", min_workers=1), Grant(2, 0.0, workers=2))
    cluster.has(2, 2)
    running, waiting = reservations.to_placement_group(), reservations.to_placement_group()
    cluster.granted.add(id(running))
    reservations.query_nodes()
    assert reservations.too_large() == 0
    cluster.has(1)
    reservations.query_nodes()
    assert reservations.can_hold_a_trial
    assert reservations.too_large() == 1, "the one that is there already is its trial's own concern"
    cluster.granted.add(id(waiting))
    assert reservations.too_large() == 0
    reservations.to_placement_group()
    assert reservations.too_large() == 0, "the next one is smaller"


def test_a_study_waits_for_nodes_but_not_for_ever(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    reservations = Reservations(Need(2, "motion"), Grant(1, 0.0, workers=2))
    with caplog.at_level(logging.WARNING):
        cluster.has(1)
        reservations.query_nodes()
        assert not reservations.can_hold_a_trial
        cluster.has(1, after=NODES_TIMEOUT - 20)
        reservations.query_nodes()
        cluster.has(1, 1)
        reservations.query_nodes()
        assert reservations.can_hold_a_trial, "it came back in time"
        cluster.has(1)
        reservations.query_nodes()
        cluster.has(1, after=NODES_TIMEOUT - 1)
        reservations.query_nodes()
        cluster.has(1)
        with pytest.raises(
            StudyError, match=r"needs 2 workers of 1 CPU each, but .* hold 1 of .* \(n0: 1 CPU, 0 GPU\)"
        ):
            reservations.query_nodes()
    assert [record.message.partition(";")[2] for record in caplog.records] == [" waiting up to 600 s for nodes"] * 2
    cluster.has()
    with pytest.raises(StudyError, match=r"hold 0 of that now \(none\)"):
        reservations.query_nodes()


def test_tune_creates_groups_through_it_and_workers_see_tunes_own_class(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlacementGroupResourceManager, "__del__", lambda _: None)  # it would remove them from Ray
    reservations = Reservations(Need(2, "motion", min_workers=1), Grant(1, 0.0, workers=2))
    cluster.has(1)
    manager = PlacementGroupResourceManager()
    manager.request_resources(deepcopy(reservations))
    cluster.has()
    reservations.query_nodes()
    assert reservations.too_large() == 1, "the copy is the same object, so that it knows the group"
    received = pickle.loads(pickle.dumps(reservations))
    assert type(received) is tune.PlacementGroupFactory
    assert received.bundles == [{"CPU": 1.0}] * 2
    assert received.head_bundle_is_empty
