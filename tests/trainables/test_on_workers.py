"""Trained stages under Ray Train's TorchTrainer, in places that were reserved for them."""

from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from tests.tiny_trial import TINY
from tests.trainables.test_decoder_stages import SPLIT, World, features, tiny
from trainables import on_ray, on_workers
from trainables.check_ray_train import check_under_ray_train
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Part
from trainables.graph import StageRun
from trainables.on_ray import SharedRun
from trainables.stage_table import STAGES

TRAINED = [name for name in STAGES if hasattr(getattr(resolve({}), name, None), "train")]
SHORT = {f"semantic__train__{field}": value for field, value in {"epochs": 2, "batch_size": 67}.items()}
TRAIN = {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "device": "cpu"}
SMALL = {
    "dataset": {"train_clips": 12, "validation_clips": 2, "test_clips": 2, "block_clips": 2, "subjects": 1},
    **TINY,
    "premask": {"width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2},
    "tokens": {"augment": {"mask": 0.1, "interpolate": 0.5}, "dropout": 0.1},
    "gan": {"resolution": 16, "base": 2, "embedding": 8, "noise": 4},
    "cotrain": {"epoch_clips": 9, "validation_clips": 2, "encoder": True},
    "see": {"resolution": 32, "planes": 2},
    "autoencoder": {"resolution": 32, "base": 2, "latent": 4},
    "map_inverse": {"channels": 4},
    "unsee": {"channels": 4, "unpaired": 0.5, "encoder": "fine_tuned", "noise": "residual"},
    "voxels.window": 2,
    **{f"{stage}.train": TRAIN for stage in TRAINED},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the stages leave the inputs that they have in common."""
    return tmp_path_factory.mktemp("inputs")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
@pytest.mark.parametrize("stage", TRAINED)
def test_each_trained_stage_is_the_same_under_ray_train(stage: str, inputs: Path) -> None:
    check_under_ray_train(stage, resolve(SMALL), folder=inputs, ranks=["retrieval", "test_retrieval"])


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
def test_a_workers_error_is_raised_and_its_place_stays_reserved(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runs = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache")
    broken = {name: value.fill_(float("nan")) for name, value in features().items() if name != "fmri"}
    world.add("features", {"features.safetensors": broken})
    world.add("voxels", {"voxels.safetensors": {"fmri": world.truth["fmri"]}, "voxels.json": {"split": SPLIT}})
    inputs = {stage: artifacts.manifest.identity for stage, artifacts in world.inputs.items()}

    settings = {"store": (tmp_path / "store").as_uri(), "study": "none", "pulse": "inf", "plugins": ""}
    settings |= {"scratch": str(tmp_path / "scratch"), "cache": str(tmp_path / "cache")}
    group = placement_group([{"CPU": 1}] * 2)
    inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    coordinator: Any = ray.remote(SharedRun).options(num_cpus=0, scheduling_strategy=inside).remote()
    config = tiny(**SHORT, semantic__train__workers=2).model_dump(mode="json")
    run = StageRun("semantic", "semantic-diverges", 0, {}, inputs)
    with pytest.raises(
        ray.exceptions.RayTaskError, match=r"DivergedError(.|\n)*semantic: the loss is nan at epoch 1, step 1"
    ):
        ray.get(coordinator.run.remote(run.to_json(), config, settings), timeout=240)
    assert world.runs.find(run.identity) is None
    states = {entry["state"] for name, entry in placement_group_table().items() if name == group.id.hex()}
    assert states == {"CREATED"}, "it is whoever reserved the places that gives them back"
    remove_placement_group(group)


@pytest.mark.parametrize(
    ("training", "bundles", "workers"),
    [
        ({}, [{"CPU": 1}], 0),
        ({"use_ray_train": "always"}, [{"CPU": 1}], 1),
        ({"use_ray_train": "always"}, [], 0),  # nothing is reserved for a worker, as with --inline
        ({}, [{"CPU": 1, "GPU": 0.5}], 1),
        ({"workers": 2}, [{"CPU": 1}] * 3, 2),
        ({"workers": "1..4"}, [{"CPU": 1}], 0),
        ({"workers": "1..4", "use_ray_train": "always"}, [{"CPU": 1}], 1),
    ],
)
def test_when_ray_train_runs_a_stage(
    training: dict[str, Any],
    bundles: list[dict[str, float]],
    workers: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, used = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache"), []
    manifest = Manifest("noop-0", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
    runs.commit(manifest, tmp_path)
    monkeypatch.setattr(on_ray, "_bundles", lambda: bundles)
    monkeypatch.setattr(on_ray, "execute_anew", lambda *_, **__: manifest)
    monkeypatch.setattr(
        on_workers, "run_on_workers", lambda loop, settings, places, report, **_: used.append(len(places))
    )
    make = on_ray._Maker(dict.fromkeys(on_ray._EVERY_WORKER, ""))
    config = TrialConfig.model_validate({"noop": training})
    make(StageRun("noop", "noop-0", 0, {}), config, runs=runs, scratch=tmp_path, part=Part())
    assert used == ([workers] if workers else [])
