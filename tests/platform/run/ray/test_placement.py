"""What is reserved and given up as nodes go and come; a list of nodes plays Ray's part. On a real one: test_elastic."""

import logging
from typing import Any

import pytest

from platform.errors import StudyError
from platform.run.admission import Grant, Need, Node
from platform.run.ray import placement
from platform.run.ray.placement import PATIENCE, Places


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


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_of_a_range_each_attempt_gets_what_there_is(cluster: Cluster) -> None:
    some = Places(Need(4, "motion", least=2), Grant(1, 0.0, workers=3))
    sizes = []
    for cpus in ((2, 1), (9,), (2,), (1,), ()):
        cluster.has(*cpus)
        sizes.append(some.to_placement_group().bundle_count)
    assert sizes == [3, 4, 2, 2, 2]


def test_what_nodes_that_are_left_cannot_grant_is_given_up(cluster: Cluster) -> None:
    some = Places(Need(2, "motion", least=1), Grant(2, 0.0, workers=2))
    cluster.has(2, 2)
    running, waiting = some.to_placement_group(), some.to_placement_group()
    cluster.granted.add(id(running))
    some.look()
    assert some.stranded() == 0
    cluster.has(1)
    some.look()
    assert some.suffice
    assert some.stranded() == 1, "the one that is there already is its trial's own concern"
    cluster.granted.add(id(waiting))
    assert some.stranded() == 0
    some.to_placement_group()
    assert some.stranded() == 0, "the next one is smaller"


def test_a_study_waits_for_nodes_but_not_for_ever(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    some = Places(Need(2, "motion"), Grant(1, 0.0, workers=2))
    with caplog.at_level(logging.WARNING):
        cluster.has(1)
        some.look()
        assert not some.suffice
        cluster.has(1, after=PATIENCE - 20)
        some.look()
        cluster.has(1, 1)
        some.look()
        assert some.suffice, "it came back in time"
        cluster.has(1)
        some.look()
        cluster.has(1, after=PATIENCE - 1)
        some.look()
        cluster.has(1)
        with pytest.raises(
            StudyError, match=r"needs 2 workers of 1 CPU each, but .* hold 1 of .* \(n0: 1 CPU, 0 GPU\)"
        ):
            some.look()
    assert [record.message.partition(";")[2] for record in caplog.records] == [" waiting up to 600 s for nodes"] * 2
    cluster.has()
    with pytest.raises(StudyError, match=r"hold 0 of that now \(none\)"):
        some.look()
