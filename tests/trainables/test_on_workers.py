"""A real stage under Ray Train's TorchTrainer, in places that were reserved for it."""

from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from storage.local import LocalStore
from storage.runs import RunStore
from tests.trainables.test_decoder_stages import SPLIT, World, features, tiny
from trainables.execute import execute
from trainables.graph import StageRun
from trainables.on_ray import SharedRun

SHORT = {f"semantic__train__{field}": value for field, value in {"epochs": 2, "batch_size": 67}.items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.runs = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache")
    truth = made.truth
    made.add("features", {"features.safetensors": {name: value for name, value in truth.items() if name != "fmri"}})
    made.add("voxels", {"voxels.safetensors": {"fmri": truth["fmri"]}, "voxels.json": {"split": SPLIT}})
    return made


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
def test_a_stage_run_on_two_workers_is_that_of_one(world: World, tmp_path: Path) -> None:
    inputs = {stage: artifacts.manifest.identity for stage, artifacts in world.inputs.items()}
    alone = StageRun("semantic", "semantic-alone", 0, {}, inputs)
    one = execute(alone, tiny(**SHORT), runs=world.runs, scratch=tmp_path)

    place = {"store": (tmp_path / "store").as_uri(), "study": "none", "pulse": "inf"}
    place |= {"scratch": str(tmp_path / "scratch"), "cache": str(tmp_path / "cache")}
    group = placement_group([{"CPU": 1}] * 2)
    inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    coordinator: Any = ray.remote(SharedRun).options(num_cpus=0, scheduling_strategy=inside).remote()
    config = tiny(**SHORT, semantic__train__workers=2).model_dump(mode="json")
    together = StageRun("semantic", "semantic-together", 0, {}, inputs)
    assert ray.get(coordinator.run.remote(together.to_json(), config, place), timeout=240) == together.identity
    two = world.runs.find(together.identity)
    assert two is not None
    assert two.info["workers"] == "2"
    assert one.info["workers"] == "1"
    for row, other in zip(one.history, two.history, strict=True):
        for name, value in row.items():
            if not name.startswith("retrieval"):
                assert other[name] == pytest.approx(value, rel=1e-4), name
    states = {entry["state"] for name, entry in placement_group_table().items() if name == group.id.hex()}
    assert states == {"CREATED"}, "it is whoever reserved the places that gives them back"

    broken = {name: value.fill_(float("nan")) for name, value in features().items() if name != "fmri"}
    world.add("features", {"features.safetensors": broken})
    inputs["features"] = world.inputs["features"].manifest.identity
    worse = StageRun("semantic", "semantic-worse", 0, {}, inputs)
    with pytest.raises(
        ray.exceptions.RayTaskError, match=r"DivergedError(.|\n)*semantic: the loss is nan at epoch 1, step 1"
    ):
        ray.get(coordinator.run.remote(worse.to_json(), config, place), timeout=240)
    assert world.runs.find(worse.identity) is None
    remove_placement_group(group)
