"""A trial on several subjects of a small phantom, from clips to page and maps, through a store."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from storage.memory import MemoryStore
from storage.runs import Artifacts, RunStore
from tests.tiny_trial import TINY
from trainables.config.trial import TrialConfig, resolve
from trainables.execute import execute
from trainables.graph import stage_runs
from trainables.saved import load_decoder, save_decoder

TRAIN = {"epochs": 4, "batch_size": 16, "warmup_steps": 2, "device": "cpu"}
SMALL = {
    "dataset": {"train_clips": 40, "validation_clips": 4, "test_clips": 4, "block_clips": 4, "subjects": 3},
    **TINY,
    "generator": {"test_clips": 4, "steps": 2},
    "evaluate": {"image_trials": 2, "video_trials": 2},
    "importance": {"clips": 4, "shuffles": 1},
    "voxels": {"subject": 1, "own_clips": 6},
    **{f"{stage}.train": TRAIN for stage in ("semantic", "structure", "motion")},
}
POOLED = {**SMALL, "voxels": {"subject": 1, "own_clips": 6, "subjects": [0, 1, 2]}}


def ran(config: TrialConfig, *targets: str, folder: Path, runs: RunStore) -> dict[str, Artifacts]:
    """Run `targets` and all that they need; return each stage's artifacts."""
    planned = stage_runs(config, seed=0, targets=targets)
    for run in planned:
        if runs.find(run.identity) is None:
            execute(run, config, runs=runs, scratch=folder / "scratch")
    return {run.stage: runs.open(run.identity) for run in planned}


@pytest.mark.long
def test_a_trial_on_three_subjects_from_clips_to_page(tmp_path: Path) -> None:
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    targets = ("evaluate", "importance", "encoding_accuracy")
    made = ran(resolve(POOLED), *targets, folder=tmp_path, runs=runs)
    trained = "6 clips of phantom02, 40 clips of phantom01, 40 clips of phantom03"
    assert made["voxels"].manifest.info["trained on"] == trained
    assert trained in made["evaluate"].path("page.html").read_text(encoding="utf-8")
    assert set(pq.read_table(made["importance"].path("voxels.parquet"))["voxel"].to_pylist()) <= set(range(64))
    assert made["encoding_accuracy"].manifest.metrics["test_caption_r"] <= 1.0

    save_decoder(runs, made["structure"].manifest.identity, tmp_path / "saved")
    fmri = load_file(made["voxels"].path("voxels.safetensors"))["fmri"]
    predicted = load_file(made["structure"].path("predictions.safetensors"))
    with torch.no_grad():
        first = load_decoder(tmp_path / "saved")(fmri[predicted["index"]])
    torch.testing.assert_close(first, predicted["first_latent"])

    alone = ran(resolve(SMALL), "motion", folder=tmp_path, runs=runs)
    shared = {stage for stage in alone if alone[stage].manifest.identity == made[stage].manifest.identity}
    assert shared == {"clips", "data", "features"}
    assert alone["motion"].manifest.info["parameters"] == made["motion"].manifest.info["parameters"]
    assert alone["structure"].manifest.metrics["latent_mse"] != made["structure"].manifest.metrics["latent_mse"]


@pytest.mark.long
def test_other_subjects_help_where_own_clips_are_few(tmp_path: Path) -> None:
    """Latent errors of the first frame: 40 clips of one's own, with and without 300 clips of each of two others."""
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    few = {
        **SMALL,
        "dataset.train_clips": 300,
        "dataset.test_clips": 20,
        "dataset.validation_clips": 20,
        "voxels": {"own_clips": 40},
        "structure.train": {**TRAIN, "epochs": 60},
    }
    pooled = {**few, "voxels": {"own_clips": 40, "subjects": [0, 1, 2]}, "structure.train": {**TRAIN, "epochs": 12}}
    errors = {}
    for name, config in (("few", few), ("pooled", pooled)):
        made = ran(resolve(config), "structure", folder=tmp_path, runs=runs)
        errors[name] = made["structure"].manifest.metrics["test_latent_mse"]
    assert errors["pooled"] < 0.95 * errors["few"]
