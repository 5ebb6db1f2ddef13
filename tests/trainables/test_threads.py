"""As many threads as cores were granted, whatever the user's shell says."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from storage.local import LocalStore
from trainables.config.trial import resolve
from trainables.context import StageResult, StageTask
from trainables.graph import stage_runs
from trainables.on_ray import shared_run
from trainables.threads import limit_loaded, limited_threads


def used() -> tuple[str | None, int, int]:
    """Return the number of the environment variable, of torch, and of OpenCV."""
    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads(), cv2.getNumThreads()


@pytest.fixture(autouse=True)
def restored() -> Any:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    with limited_threads(1):
        yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


def test_the_grant_overrides_the_shell_and_the_shell_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with limited_threads(2):
        limit_loaded()
        assert used() == ("2", 2, 2)
        np.ones((2, 2)) @ np.ones((2, 2))
        assert {pool["num_threads"] for pool in threadpool_info()} <= {1, 2}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("text", [None, "", "0", "-1", "many", "4,2"])
def test_without_a_number_it_is_one(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if text is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    limit_loaded()
    assert used() == (text, 1, 1)


@pytest.mark.parametrize(("resources", "cores"), [({"CPU": 2.0}, 2), ({"CPU": 1.0, "GPU": 0.5}, 1), ({}, 1)])
def test_a_worker_uses_the_cores_that_ray_granted(
    resources: dict[str, float], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray leaves OMP_NUM_THREADS alone if the user's shell has set it."""
    context = SimpleNamespace(get_assigned_resources=lambda: resources, get_node_id=lambda: "node")
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("ray.util.get_current_placement_group", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen: list[tuple[str | None, int, int]] = []

    def stage(task: StageTask) -> StageResult:
        seen.append(used())
        (task.context.output / "file").touch()
        return StageResult()

    monkeypatch.setattr("trainables.stages.noop.run", stage)
    config = resolve({})
    (run,) = stage_runs(config, seed=0, targets=["noop"])
    folders = {"store": LocalStore(tmp_path / "store").uri, "scratch": str(tmp_path), "cache": str(tmp_path / "cache")}
    shared_run(run.to_json(), config.model_dump(mode="json"), {**folders, "study": "s", "pulse": "inf", "plugins": ""})
    assert seen == [(str(cores), cores, cores)]
