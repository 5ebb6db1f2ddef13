import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, EpochReport, StageResult, StageTask, silent
from trainables.graph import resolve_reference
from trainables.metrics.registry import METRICS

VOXELS, CLIP_DIM, TOKENS, CONDITION_DIM, VIDEO = 20, 6, 5, 4, (4, 2, 4, 4)
SPLIT = ["train"] * 200 + ["dropped"] * 2 + ["validation"] * 10 + ["test"] * 8
CLIPS = len(SPLIT)
TRAIN, VALIDATION, TEST = slice(0, 200), slice(202, 212), slice(212, 220)
TINY = {
    "features.latent_size": 4,
    "semantic.hidden": 16,
    "semantic.head_hidden": [12],
    "structure.hidden": 16,
    "motion.patch_size": 2,
    "motion.width": 8,
    "motion.attention_width": 8,
    "motion.heads": 2,
    "motion.ffn_width": 8,
    "motion.encoder_hidden": 8,
    "motion.mlp_hidden": 8,
    **{
        f"{stage}.train.{field}": value
        for stage in ("semantic", "structure", "motion")
        for field, value in {"epochs": 3, "batch_size": 16, "lr": 1e-2, "warmup_steps": 2, "device": "cpu"}.items()
    },
}
STAGES = ("semantic", "structure", "motion")


def features() -> dict[str, torch.Tensor]:
    """All that decoders are to predict, a linear function of eight causes."""
    torch.manual_seed(0)
    cause = torch.randn(CLIPS, 8)

    def answer(*shape: int) -> torch.Tensor:
        return (cause @ torch.randn(8, torch.Size(shape).numel())).view(CLIPS, *shape) / 3

    image, text = answer(CLIP_DIM), answer(CLIP_DIM)
    return {
        "fmri": answer(VOXELS) + 0.1 * torch.randn(CLIPS, VOXELS),
        "clip_image": image,
        "clip_text": text,
        "clip_image_variants": image[:, None].repeat(1, 2, 1),
        "clip_text_variants": text[:, None].repeat(1, 3, 1),
        "condition": answer(TOKENS, CONDITION_DIM),
        "latents": answer(*VIDEO),
    }


class World:
    """A store with features and voxels, and stages to run on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, RunStore(MemoryStore(), cache=folder / "cache")
        self.number = itertools.count()
        self.truth = features()
        self.inputs: dict[str, Artifacts] = {}
        fmri = {"fmri": self.truth["fmri"]}
        self.add("features", {"features.safetensors": {k: v for k, v in self.truth.items() if k != "fmri"}})
        self.add("voxels", {"voxels.safetensors": fmri, "voxels.json": {"split": SPLIT}})

    def add(self, stage: str, files: dict[str, Any]) -> None:
        folder = self.folder / f"{stage}-files"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            if name.endswith(".json"):
                (folder / name).write_text(json.dumps(content))
            else:
                save_file(content, folder / name)
        self.inputs[stage] = self.commit(stage, folder)

    def commit(self, stage: str, folder: Path) -> Artifacts:
        manifest = Manifest(f"{stage}-{next(self.number)}", stage, {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
        self.runs.commit(manifest, folder)
        return self.runs.open(manifest.identity)

    def run(
        self, stage: str, config: TrialConfig, seed: int = 0, *, identity: str = "", report: EpochReport = silent
    ) -> tuple[StageResult, Path]:
        output = self.folder / f"out-{next(self.number)}"
        output.mkdir()
        context = Context(output, self.runs.checkpoints(identity or output.name), report)
        run = resolve_reference(f"trainables.stages.{stage}:run")
        result = run(StageTask(config=config, seed=seed, inputs=self.inputs, context=context))
        self.inputs[stage] = self.commit(stage, output)
        return result, output


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def tiny(**overrides: Any) -> TrialConfig:
    return resolve({**TINY, **{key.replace("__", "."): value for key, value in overrides.items()}})


def test_each_stage_writes_its_artifacts_and_its_registered_metrics(world: World) -> None:
    shapes = {
        "semantic": {"embedding": (18, CLIP_DIM), "condition": (18, TOKENS - 1, CONDITION_DIM)},
        "structure": {"first_latent": (18, *VIDEO[1:])},
        "motion": {"latents": (18, *VIDEO)},
    }
    for stage in STAGES:
        result, output = world.run(stage, tiny())
        assert sorted(path.name for path in output.iterdir()) == ["model.safetensors", "predictions.safetensors"]
        predictions = load_file(output / "predictions.safetensors")
        assert predictions.pop("index").tolist() == list(range(202, 220))
        assert {name: tuple(tensor.shape) for name, tensor in predictions.items()} == shapes[stage]
        registered = {metric.short for metric in METRICS.values() if metric.stage == stage and metric.only_with is None}
        assert registered <= result.metrics.keys()
        assert {f"test_{name}" for name in registered - {"loss"}} <= result.metrics.keys()
        metrics = [metric for metric in METRICS.values() if metric.stage == stage]
        controls = {f"{metric.short}_{control}" for metric in metrics for control in metric.chance_controls}
        assert controls <= result.metrics.keys()
        assert len(result.history) == 3
        json.dumps([result.metrics, result.history, result.info], allow_nan=False)


@pytest.mark.long
def test_decoders_learn_and_beat_their_controls(world: World) -> None:
    config = tiny(
        **{f"{stage}__train__epochs": 20 for stage in STAGES},
        structure__sparsify__voxel_fraction=0.0,
        semantic__sparsify__voxel_fraction=0.0,
        semantic__dropout_input=0.0,
        semantic__dropout=0.0,
        structure__dropout=0.0,
        motion__dropout=0.0,
        motion__encoder_dropout=0.0,
        motion__train__schedule="constant",
        **{f"motion__{field}": 32 for field in ("width", "attention_width", "ffn_width", "encoder_hidden")},
    )
    semantic, structure, motion = (world.run(stage, config)[0].metrics for stage in STAGES)
    for prefix in ("", "test_"):
        assert semantic[f"{prefix}projection_mse"] < 0.6 * semantic[f"{prefix}projection_mse_mean"]
        assert semantic[f"{prefix}retrieval_text_top1"] > 3 * semantic[f"{prefix}retrieval_chance_top1"]
        assert structure[f"{prefix}latent_mse"] < 0.5 * structure[f"{prefix}latent_mse_mean"]
        assert motion[f"{prefix}rollout_mse"] < 0.7 * motion[f"{prefix}rollout_mse_mean"]
        assert motion[f"{prefix}rollout_mse"] < 0.7 * motion[f"{prefix}rollout_mse_static"]


def test_metrics_are_those_of_the_written_predictions(world: World) -> None:
    truth = world.truth
    semantic, folder = world.run("semantic", tiny())
    condition = load_file(folder / "predictions.safetensors")["condition"]
    target = truth["condition"][:, 1:]
    assert semantic.metrics["projection_mse"] == pytest.approx(
        (condition[:10] - target[VALIDATION]).square().mean().item()
    )
    mean_error = (target[TEST] - target[TRAIN].mean(0)).square().mean().item()
    assert semantic.metrics["test_projection_mse_mean"] == pytest.approx(mean_error)
    assert semantic.metrics["retrieval_chance_top5"] == 0.5
    assert semantic.metrics["retrieval_chance_large_top10"] == pytest.approx(10 / 210)
    embedding = load_file(folder / "predictions.safetensors")["embedding"][:10]
    gallery = torch.cat((truth["clip_image"][VALIDATION], truth["clip_image"][TRAIN]))
    cosines = torch.nn.functional.normalize(embedding, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T
    found = (cosines.topk(100).indices == torch.arange(10)[:, None]).any(dim=1).float().mean().item()
    assert semantic.metrics["retrieval_image_large_top100"] == pytest.approx(found)

    structure, folder = world.run("structure", tiny())
    first = load_file(folder / "predictions.safetensors")["first_latent"]
    error = (first[:10] - truth["latents"][VALIDATION, 0]).square().mean().item()
    assert structure.metrics["latent_mse"] == pytest.approx(error)

    motion, folder = world.run("motion", tiny())
    video = load_file(folder / "predictions.safetensors")["latents"]
    assert torch.equal(video[:, 0], first)
    target = truth["latents"][202:, 1:]
    for name, decoded in (("rollout_mse", video[:, 1:]), ("rollout_mse_static", first[:, None])):
        errors = (decoded - target).square()
        assert motion.metrics[name] == pytest.approx(errors[:10].mean().item(), rel=1e-5)
        assert motion.metrics[f"test_{name}"] == pytest.approx(errors[10:].mean().item(), rel=1e-5)
    mean = truth["latents"][TRAIN, 1:].mean(0)
    assert motion.metrics["rollout_mse_mean"] == pytest.approx((target[:10] - mean).square().mean().item())


def test_a_stage_is_a_function_of_config_and_seed(world: World) -> None:
    def weights(seed: int) -> torch.Tensor:
        return load_file(world.run("structure", tiny(), seed)[1] / "model.safetensors")["layers.0.weight"]

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("profile", ["paper", "released_code"])
def test_an_interrupted_stage_resumes_bit_equal(world: World, stage: str, profile: str) -> None:
    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 2:
            raise Interrupted

    config = tiny(profile=profile)
    world.run("structure", config)
    whole, folder = world.run(stage, config)
    with pytest.raises(Interrupted):
        world.run(stage, config, identity="resumed", report=stop)
    resumed, resumed_folder = world.run(stage, config, identity="resumed")
    assert resumed == whole
    for name in ("model.safetensors", "predictions.safetensors"):
        assert (folder / name).read_bytes() == (resumed_folder / name).read_bytes()


@pytest.mark.parametrize(
    "overrides",
    [
        {"motion__kind": "per_frame_mlp"},
        {"motion__kind": "cmg_small_patch"},
        {"motion__layer_norm": "unbiased", "motion__ffn_dropout": 0.2, "motion__encoder_block_dropout": 0.15},
        {"motion__spatial_fusion": "self", "motion__temporal_fusion": "adaln"},
        {"motion__mask_refresh": "run", "motion__mask_diagonal": True, "motion__mask_means": "visible"},
        {"motion__sparsify__voxel_fraction": 0.3, "motion__sparsify__cumulative": True},
        {"profile": "released_code"},
    ],
)
def test_motion_variants_run(world: World, overrides: dict[str, Any]) -> None:
    world.run("structure", tiny())
    result, _ = world.run("motion", tiny(**overrides))
    assert result.metrics["rollout_mse"] > 0
    if overrides.get("motion__kind") == "per_frame_mlp":
        assert result.metrics["teacher_forced_mse"] == result.metrics["rollout_mse"]


@pytest.mark.parametrize(
    "overrides",
    [
        {"semantic__loss": "mse", "semantic__linear_trunk": True},
        {"semantic__image_augmentation": False, "semantic__text_augmentation": False},
        {"semantic__monitor": "retrieval_image_top5"},
        {"profile": "released_code"},
    ],
)
def test_semantic_variants_run(world: World, overrides: dict[str, Any]) -> None:
    assert world.run("semantic", tiny(**overrides))[0].metrics["align_mse"] > 0


def test_validation_rows_are_sparsified_only_while_watching(world: World) -> None:
    sparse, _ = world.run("structure", tiny(structure__sparsify__validation=True))
    best = int(sparse.info["best_epoch"]) - 1
    assert sparse.history[best]["latent_mse"] != sparse.metrics["latent_mse"]
    plain, _ = world.run("structure", tiny())
    assert plain.history[int(plain.info["best_epoch"]) - 1]["latent_mse"] == plain.metrics["latent_mse"]


def test_no_variants_means_the_embedding_itself(world: World) -> None:
    world.truth["clip_image_variants"] = world.truth["clip_image_variants"][:, :0]
    world.add("features", {"features.safetensors": {k: v for k, v in world.truth.items() if k != "fmri"}})
    assert world.run("semantic", tiny())[0].metrics["loss"] > 0


def test_a_split_without_clips_is_named(world: World) -> None:
    split = ["train" if name == "validation" else name for name in SPLIT]
    world.add("voxels", {"voxels.safetensors": {"fmri": world.truth["fmri"]}, "voxels.json": {"split": split}})
    with pytest.raises(ValueError, match="the validation split has no clip with a volume"):
        world.run("structure", tiny())


def test_features_and_voxels_must_have_as_many_rows(world: World) -> None:
    fmri = {"fmri": world.truth["fmri"][:-1]}
    world.add("voxels", {"voxels.safetensors": fmri, "voxels.json": {"split": SPLIT}})
    with pytest.raises(ValueError, match=r"different numbers of rows.*'fmri': 219.*'latents': 220.*one row per clip"):
        world.run("structure", tiny())


@pytest.mark.long
def test_importance_finds_the_voxels_that_were_planted(world: World) -> None:
    noise = torch.randn(CLIPS, VOXELS // 2, generator=torch.Generator().manual_seed(1))
    roi = torch.arange(VOXELS, dtype=torch.int16) // 5  # V1 and MT answer to the clips, LO and TPOJ to nothing
    fmri = torch.cat((world.truth["fmri"][:, : VOXELS // 2], noise), dim=1)
    drives = ["image", "contrast", "colour", "motion", "words"]
    voxels = {"fmri": fmri, "roi": roi, "voxel": torch.arange(VOXELS, dtype=torch.int32)}
    world.add("voxels", {"voxels.safetensors": voxels, "voxels.json": {"split": SPLIT, "roi_names": list("ABCD")}})
    share = (roi < 2).float()[:, None].repeat(1, len(drives))
    world.add("data", {"planted_0.safetensors": {"share": share}, "data.json": {"drives": drives}})
    config = tiny(importance__clips=8, **{f"{stage}__train__epochs": 20 for stage in STAGES})
    for stage in STAGES:
        world.run(stage, config)
    result, output = world.run("importance", config)
    assert {f"importance.{name}" for name in result.metrics} == {name for name in METRICS if name[:11] == "importance."}
    for decoder in STAGES:
        assert result.metrics[f"{decoder}_gradient_voxels"] > 0.5
        assert result.metrics[f"{decoder}_permutation_regions"] > 0.5
    maps = json.loads((output / "regions.json").read_text())["importance"]
    assert maps["semantic"]["planted"] == pytest.approx([1.0, 1.0, 0.0, 0.0])
    table = pq.read_table(output / "voxels.parquet")
    assert table.num_rows == len(STAGES) * 3 * VOXELS
    assert table.column_names == ["voxel", "roi", "decoder", "method", "importance"]


def test_importance_without_a_planted_map_has_maps_and_no_agreement(world: World) -> None:
    voxels = {
        "fmri": world.truth["fmri"],
        "roi": torch.zeros(VOXELS, dtype=torch.int16),
        "voxel": torch.arange(VOXELS, dtype=torch.int32),
    }
    world.add("voxels", {"voxels.safetensors": voxels, "voxels.json": {"split": SPLIT, "roi_names": ["all"]}})
    world.add("data", {"data.json": {"drives": []}})
    config = tiny(motion__kind="per_frame_mlp")
    for stage in STAGES:
        world.run(stage, config)
    result, output = world.run("importance", config)
    assert result.metrics.keys() == {f"{stage}_shuffled_ratio" for stage in STAGES}
    assert "planted" not in json.loads((output / "regions.json").read_text())["importance"]["motion"]
