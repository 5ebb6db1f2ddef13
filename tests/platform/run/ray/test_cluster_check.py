"""Clearing the nodes of a cluster, with a Ray of which one node is too busy to start a process."""

from collections.abc import Sequence
from typing import Any

import pytest

from platform.run.ray import cluster_check

SETTINGS = {"store": "s3://bucket/x", "scratch": "/home/scratch/s"}


class BusyRay:
    """Two nodes, of which the second answers nothing; `broken`: none can be asked."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken
        self.cancelled: list[str] = []

    def nodes(self) -> list[dict[str, Any]]:
        if self._broken:
            raise ConnectionError("the head is gone")
        names = ("10.0.0.1", "10.0.0.2")
        return [{"Alive": True, "Resources": {"CPU": 1}, "NodeID": name, "NodeManagerAddress": name} for name in names]

    def remote(self, function: object) -> object:
        return function

    def wait(self, answers: Sequence[str], *, num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        assert num_returns == len(answers) == 2
        assert timeout >= 60.0, "under load a node takes longer than 20 s to start a process"
        return list(answers[:1]), list(answers[1:])

    def cancel(self, answer: str, *, force: bool) -> None:
        assert force
        self.cancelled.append(answer)


class Task:
    """A remote function on one node, whose answer is known by the node's name."""

    def __init__(self, node: str) -> None:
        self._node = node

    def remote(self, settings: dict[str, str]) -> str:
        assert settings == SETTINGS
        return f"answer of {self._node}"


def install(ray: BusyRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_check, "ray", ray)
    monkeypatch.setattr(cluster_check, "_on", lambda node, task: Task(node["NodeID"]))


def test_a_node_that_does_not_answer_is_named_and_does_not_clear_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ray = BusyRay()
    install(ray, monkeypatch)
    cluster_check.clear_nodes(SETTINGS)
    assert ray.cancelled == ["answer of 10.0.0.2"], "it would remove the folder of a trial that has started since"
    assert "from node 10.0.0.2: /home/scratch/s may be left there" in caplog.text
    assert "10.0.0.1" not in caplog.text


def test_a_lost_cluster_does_not_hide_why_the_study_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(BusyRay(broken=True), monkeypatch)
    cluster_check.clear_nodes(SETTINGS)
    assert "WARNING" not in caplog.text
