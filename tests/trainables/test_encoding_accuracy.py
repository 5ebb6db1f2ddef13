"""Encoding accuracy per voxel: voxels that were made from a feature are predicted from it, the others are not."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from tests.golden.results import NoCheckpoints
from trainables.config.trial import resolve
from trainables.context import Context, StageResult, StageTask
from trainables.metrics.decoder_metrics import ENCODED_FROM
from trainables.metrics.registry import METRICS
from trainables.stages import encoding_accuracy
from trainables.stages.encoding_accuracy import CARRIED, chance_level, first_frame_features, motion_features

SPLIT = ["train"] * 160 + ["validation"] * 40 + ["test"] * 40
ROIS = ["words", "picture", "nothing"]
DRIVES = ["image", "contrast", "colour", "motion", "words"]


def moving(step: float) -> torch.Tensor:
    """Return the latents of a spot that moves to the right by `step` places a frame, [1, 5, 1, 16, 16]."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    frames = [torch.exp(-((x - 8 - step * (number - 2)) ** 2 + (y - 8) ** 2) / 8) for number in range(5)]
    return torch.stack(frames)[None, :, None]


def test_motion_features_are_linear_in_the_velocity() -> None:
    right, faster, left = (motion_features(moving(step)).sum() for step in (0.25, 0.5, -0.25))
    assert left.item() == pytest.approx(-right.item(), rel=1e-4)
    assert faster.item() == pytest.approx(2 * right.item(), rel=0.1)
    assert motion_features(moving(0.0)).abs().max() == 0
    halves = motion_features(moving(0.25)).view(2, -1).abs().sum(dim=1)
    assert halves[0] > halves[1], "it moves to the right, not downwards"


def test_large_latents_are_averaged_and_small_ones_are_not() -> None:
    assert first_frame_features(torch.zeros(2, 3, 4, 64, 64)).shape == (2, 4 * 16 * 16)
    assert first_frame_features(torch.zeros(2, 3, 4, 8, 8)).shape == (2, 4 * 8 * 8)
    assert motion_features(torch.zeros(2, 3, 4, 64, 64)).shape == (2, 2 * 16 * 16)


def test_the_chance_level_is_that_of_random_orders() -> None:
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(200.0), (4000, 1)), axis=1) - 99.5
    found = np.quantile(orders @ (np.arange(200) - 99.5) / ((np.arange(200) - 99.5) ** 2).sum(), 0.95)
    assert chance_level(200) == pytest.approx(found, abs=0.01)


def committed(folder: Path, *, drives: bool, constant: str = "") -> dict[str, Artifacts]:
    """Store inputs in which 10 voxels follow the caption, 10 the first frame, and 10 neither."""
    rng = np.random.default_rng(0)
    count = len(SPLIT)
    text = rng.standard_normal((count, 6)).astype(np.float32)
    latents = rng.standard_normal((count, 3, 2, 4, 4)).astype(np.float32)
    if constant == "caption":
        text[:] = 1.0
    first = latents[:, 0].reshape(count, -1)
    fmri = rng.standard_normal((count, 30)).astype(np.float32)
    fmri[:, :10] += 2 * text @ rng.standard_normal((6, 10)).astype(np.float32)
    fmri[:, 10:20] += first @ rng.standard_normal((32, 10)).astype(np.float32)
    roi = np.repeat(np.arange(3, dtype=np.int16), 10)
    share = np.zeros((40, 5), np.float32)
    voxel = np.arange(5, 35, dtype=np.int32)  # the voxels stage left out the first five
    share[voxel[:10], 4], share[voxel[10:20], 0] = 1.0, 1.0
    runs = RunStore(MemoryStore(), cache=folder / "cache")
    files: dict[str, dict[str, dict[str, object]]] = {
        "features": {"features.safetensors": {"clip_text": text, "latents": latents}},
        "voxels": {"voxels.safetensors": {"fmri": fmri, "roi": roi, "voxel": voxel},
                   "voxels.json": {"split": SPLIT, "roi_names": ROIS}},
        "data": {"planted_0.safetensors": {"share": share}, "data.json": {"drives": DRIVES if drives else []}},
    }  # fmt: skip
    return {stage: commit(runs, stage, content, folder / stage) for stage, content in files.items()}


def commit(runs: RunStore, stage: str, files: dict[str, dict[str, object]], folder: Path) -> Artifacts:
    folder.mkdir(parents=True)
    for name, content in files.items():
        if name.endswith(".json"):
            (folder / name).write_text(json.dumps(content))
        else:
            save_file({key: np.asarray(value) for key, value in content.items()}, folder / name)
    runs.commit(Manifest(f"{stage}-0", stage, {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), folder)
    return runs.open(f"{stage}-0")


def run(folder: Path, *, drives: bool = True, constant: str = "") -> StageResult:
    inputs = committed(folder, drives=drives, constant=constant)
    (folder / "out").mkdir()
    context = Context(folder / "out", NoCheckpoints())
    return encoding_accuracy.run(StageTask(resolve({}), 0, inputs, context))


def test_voxels_are_predicted_from_what_they_were_made_of(tmp_path: Path) -> None:
    result = run(tmp_path)
    table = pq.read_table(tmp_path / "out" / "voxels.parquet").to_pandas()
    r = table[table.split == "test"].groupby(["features", "roi"]).r.mean()
    assert r["caption", "words"] > 0.8 > 0.3 > r["caption", "picture"]
    assert r["first_frame", "picture"] > 0.8 > 0.3 > r["first_frame", "words"]
    assert abs(r["caption", "nothing"]) < 0.15
    assert abs(r["first_frame", "nothing"]) < 0.15
    assert sorted(set(table.voxel)) == list(range(5, 35))
    chance = chance_level(30)
    assert result.metrics["test_caption_planted"] > 2 * chance
    assert result.metrics["test_first_frame_planted"] > 2 * chance
    assert "motion_planted" not in result.metrics, "no voxel was made of motion"
    assert {f"encoding_accuracy.{name.removeprefix('test_')}" for name in result.metrics} <= METRICS.keys()


def test_without_a_planted_map_there_is_no_agreement(tmp_path: Path) -> None:
    metrics = run(tmp_path, drives=False).metrics
    assert {name.removeprefix("test_") for name in metrics} == {f"{features}_r" for features in CARRIED}


def test_features_that_never_change_predict_nothing(tmp_path: Path) -> None:
    metrics = run(tmp_path, constant="caption").metrics
    assert (metrics["caption_r"], metrics["test_caption_r"]) == (0.0, 0.0)
    assert "caption_planted" not in metrics, "a map without differences has no ranks"
    assert metrics["first_frame_r"] > 0.1


def test_metrics_are_of_the_same_features() -> None:
    assert tuple(CARRIED) == ENCODED_FROM
