"""Shared stage runs that wait for a node which is lost, with a Ray that starts nothing."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from platform.errors import StudyError, UserError
from platform.run.admission import Grant, Node
from platform.run.ray import shared_runs
from platform.run.ray.shared_runs import _Runs
from trainables.config.trial import resolve
from trainables.graph import StageRun, stage_runs

CONFIG = resolve({})
LARGE, SMALL, NONE = [Node("a", 2, 0), Node("b", 1, 0)], [Node("b", 1, 0)], list[Node]()


class IdleRay:
    """Takes tasks and starts none of them."""

    def __init__(self) -> None:
        self.submitted: list[dict[str, Any]] = []
        self.cancelled: list[int] = []

    def remote(self, function: object) -> Any:
        return SimpleNamespace(options=self._options)

    def _options(self, **options: Any) -> Any:
        def submit(*_: object) -> int:
            self.submitted.append(options)
            return len(self.submitted)

        return SimpleNamespace(remote=submit)

    def cancel(self, result: int, *, force: bool) -> None:
        assert force
        self.cancelled.append(result)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> IdleRay:
    idle = IdleRay()
    monkeypatch.setattr(shared_runs, "ray", idle)
    return idle


def have(present: Sequence[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_runs, "nodes", lambda: list(present))


def features() -> StageRun:
    """Return a stage run that uses two cores if a node has them."""
    (run,) = [run for run in stage_runs(CONFIG, seed=0, targets=["semantic"]) if run.stage == "features"]
    return run


def runs_of(run: StageRun) -> tuple[_Runs, list[str]]:
    """Return what runs `run`, and the list of leases that it holds."""
    held: list[str] = []

    def acquire(name: str, _: object) -> bool:
        held.append(name)
        return True

    leases = SimpleNamespace(acquire=acquire, release=held.remove)
    stalls = SimpleNamespace(node=lambda _: None)
    work: Any = SimpleNamespace(
        study=SimpleNamespace(config_of=lambda _: CONFIG),
        worker_settings={},
        leases=leases,
        grant=Grant(concurrent=3, gpus=0.0),
        stalls=stalls,
    )
    return _Runs(work, [run], lambda *_: None), held


def look(runs: _Runs) -> None:
    runs._looked = -math.inf
    runs._note_started()


def test_what_waits_for_a_lost_node_is_submitted_for_those_that_are_left(
    ray: IdleRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(LARGE, monkeypatch)
    runs, held = runs_of(features())
    runs._submit(features())
    look(runs)
    assert (ray.cancelled, ray.submitted[0]["num_cpus"]) == ([], 2)
    have(SMALL, monkeypatch)
    look(runs)
    assert (ray.cancelled, held) == ([1], [])
    runs._submit(features())
    look(runs)
    assert (ray.cancelled, ray.submitted[1]["num_cpus"]) == ([1], 1)
    assert held == [features().identity]


def test_it_does_not_wait_for_ever_for_a_node(
    ray: IdleRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    have(LARGE, monkeypatch)
    runs, _ = runs_of(features())
    runs._submit(features())
    have(NONE, monkeypatch)
    look(runs)
    assert "stage features needs 1 x 2 CPU, which the nodes of the cluster do not have now (none)" in caplog.text
    have(LARGE, monkeypatch)
    look(runs)
    monkeypatch.setattr(shared_runs, "NODES_TIMEOUT", 0.0)
    look(runs)
    have(NONE, monkeypatch)
    with pytest.raises(StudyError, match=r"features needs 1 x 2 CPU.* no node was added"):
        look(runs)


def test_a_cluster_that_could_never_hold_it_is_refused(ray: IdleRay, monkeypatch: pytest.MonkeyPatch) -> None:
    have(NONE, monkeypatch)
    runs, _ = runs_of(features())
    with pytest.raises(UserError, match="CPU"):
        runs._submit(features())
