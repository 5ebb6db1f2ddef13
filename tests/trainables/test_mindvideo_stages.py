"""The trained stages of `mindvideo_like` on planted data: each beats its control; a killed training is continued."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainables.test_decoder_stages import World
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageTask
from trainables.metrics.registry import METRICS
from trainables.stages.decoding import read_rows
from trainables.stages.tokens import TARGETS
from trainables.stages.volumes import following_rows, with_windows

VOXELS, CLIP_DIM, TOKENS, WIDTH, CAUSES = 30, 6, 5, 64, 3
VIDEO = (3, 4, 8, 8)
SPLIT = ["train"] * 60 + ["validation"] * 10 + ["test"] * 10
CLIPS, SPACING = len(SPLIT), 3
TRAIN = {"epochs": 3, "batch_size": 16, "lr": 1e-2, "warmup_steps": 2, "device": "cpu"}
TINY = {
    "voxels.window": 2,
    "premask": {"patch": 5, "width": 24, "depth": 1, "heads": 2, "mask": 0.5},
    "premask.decoder_width": 12,
    "premask.decoder_depth": 1,
    "premask.decoder_heads": 2,
    "premask.train": TRAIN,
    "tokens.train": TRAIN,
    "cotrain": {"epoch_clips": 6, "validation_clips": 4, "train": {**TRAIN, "batch_size": 3, "lr": 1e-3}},
    "generator": {"steps": 3, "test_clips": 3, "batch_clips": 2},
}
TRAINED = ("premask", "tokens", "cotrain")


def tiny(**overrides: Any) -> TrialConfig:
    return resolve(
        {"system": "mindvideo_like", **TINY, **{name.replace("__", "."): value for name, value in overrides.items()}}
    )


class Planted(World):
    """Volumes and features that are linear functions of a few causes, which last from one volume to the next."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        draw = torch.Generator().manual_seed(0)
        volumes = CLIPS * SPACING + 4
        cause = torch.randn(CLIPS, CAUSES, generator=draw)
        over_time = torch.zeros(volumes, CAUSES)
        onsets = torch.arange(CLIPS) * SPACING
        for after, size in ((2, 1.0), (3, 0.8), (4, 0.3)):
            over_time[onsets + after] += size * cause
        to_voxels = torch.randn(CAUSES, VOXELS, generator=draw)
        bold = over_time @ to_voxels + 0.1 * torch.randn(volumes, VOXELS, generator=draw)
        rows = torch.stack([bold[onsets + 2], bold[onsets + 3]], dim=1)
        mean, std = rows[:60, 0].mean(0), rows[:60, 0].std(0, unbiased=False)
        self.windows = (rows - mean) / std

        def linear(*shape: int) -> torch.Tensor:
            return (cause @ torch.randn(CAUSES, int(np.prod(shape)), generator=draw)).view(CLIPS, *shape) / 2

        self.truth = {
            "clip_image": linear(CLIP_DIM),
            "clip_text": linear(CLIP_DIM),
            "condition": linear(TOKENS, WIDTH),
            "latents": linear(*VIDEO),
        }
        facts = {
            "kind": "series",
            "split": SPLIT,
            "block": [clip // 10 for clip in range(CLIPS)],
            "lag_tr": 2,
            "tr": 2.0,
            "subjects": [{"name": "one", "onsets": onsets[:, None].tolist(), "runs": [0, 60 * SPACING]}],
        }
        self.add("features", {"features.safetensors": self.truth, "features.json": {"condition_tokens": TOKENS}})
        self.add("data", {"bold_0.safetensors": {"bold": bold}, "data.json": facts})
        self.add_fmri(self.windows)

    def add_fmri(self, windows: torch.Tensor) -> None:
        tensors = {"fmri": windows[:, 0].contiguous(), "following": windows[:, 1:].contiguous()}
        self.add("voxels", {"voxels.safetensors": tensors, "voxels.json": {"split": SPLIT}})


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def registered(stage: str) -> set[str]:
    return {metric.short for metric in METRICS.values() if metric.stage == stage}


def test_stages_report_their_registered_metrics_and_controls(planted: Planted) -> None:
    outputs = {}
    for stage in TRAINED:
        result, outputs[stage] = planted.run(stage, tiny())
        names = registered(stage)
        assert names | {f"test_{name}" for name in names - {"loss"}} <= result.metrics.keys()
        controls = {f"{m.short}_{c}" for m in METRICS.values() if m.stage == stage for c in m.chance_controls}
        assert controls <= result.metrics.keys()
        assert len(result.history) == 3
        json.dumps([result.metrics, result.history, result.info], allow_nan=False)
    predictions = load_file(outputs["tokens"] / "predictions.safetensors")
    assert predictions["index"].tolist() == list(range(60, 80))
    assert predictions["condition"].shape == (20, TOKENS, WIDTH)
    conditions = load_file(outputs["cotrain"] / "conditions.safetensors")
    torch.testing.assert_close(conditions["condition"], predictions["condition"])


@pytest.mark.long
def test_the_masked_model_beats_the_mean_of_the_voxel(planted: Planted) -> None:
    result, _ = planted.run("premask", tiny(premask__train__epochs=60))
    for prefix in ("", "test_"):
        assert result.metrics[f"{prefix}masked_mse"] < 0.5 * result.metrics[f"{prefix}masked_mse_mean"]


def test_all_volumes_of_training_clips_are_trained_on_and_no_other(planted: Planted) -> None:
    _, output = planted.run("premask", tiny())
    facts = json.loads((output / "premask.json").read_text())
    # The run of the held-out clips begins with validation clips; 30 volumes later the first test clip is shown, and
    # two volumes after that it is the last one answered.
    assert facts == {"voxels": 30, "volumes": {"train": 180, "validation": 30, "test": 32}}
    _, output = planted.run("premask", tiny(premask__extra_bold=False))
    assert json.loads((output / "premask.json").read_text())["volumes"] == {"train": 60, "validation": 10, "test": 10}


@pytest.mark.long
def test_tokens_are_retrieved_above_chance_and_at_chance_with_shuffled_fmri(planted: Planted) -> None:
    epochs = {"tokens__train__epochs": 40, "tokens__lambda_image": 0.05, "tokens__lambda_text": 0.05}
    planted.run("premask", tiny())
    result, _ = planted.run("tokens", tiny(**epochs))
    for prefix in ("", "test_"):
        for gallery in ("image", "text"):
            assert result.metrics[f"{prefix}retrieval_{gallery}_top1"] >= 0.4  # 0.1 by chance
        assert result.metrics[f"{prefix}condition_mse"] < 0.6 * result.metrics[f"{prefix}condition_mse_mean"]
    shuffled = planted.windows.clone()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    shuffled[60:] = shuffled[60:][order]
    planted.add_fmri(shuffled)
    by_chance, _ = planted.run("tokens", tiny(**epochs))
    top5 = [by_chance.metrics[f"{p}retrieval_{g}_top5"] for p in ("", "test_") for g in ("image", "text")]
    assert np.mean(top5) < 0.75  # 0.5 by chance
    assert by_chance.metrics["condition_mse"] > by_chance.metrics["condition_mse_mean"]


@pytest.mark.parametrize("stage", TRAINED)
def test_a_killed_training_is_continued_to_the_same_bits(planted: Planted, stage: str) -> None:
    for before in TRAINED[: TRAINED.index(stage)]:
        planted.run(before, tiny())
    augmented = tiny(
        tokens__augment={"mask": 0.2, "interpolate": 0.5},
        tokens__dropout=0.1,
        cotrain__encoder=True,
        cotrain__noise_share=0.3,
    )
    whole, _ = planted.run(stage, augmented)

    class Killed(Exception):
        pass

    def kill(epoch: int, metrics: Any) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        planted.run(stage, augmented, identity="killed", report=kill)
    epochs: list[int] = []
    continued, _ = planted.run(stage, augmented, identity="killed", report=lambda epoch, metrics: epochs.append(epoch))
    assert epochs == [1, 2, 3]
    assert continued.metrics == whole.metrics
    assert continued.history == whole.history


def test_augmented_rows_are_mixed_with_the_next_clip_of_their_block(planted: Planted) -> None:

    task = StageTask(tiny(), 0, planted.inputs, Context(planted.folder, planted.runs.checkpoints("none")))
    rows = with_windows(task, read_rows(task, TARGETS, device=torch.device("cpu"))["train"])
    following = following_rows(task, rows)
    expected = [-1 if clip % 10 == 9 else clip + 1 for clip in range(60)]
    assert following.tolist() == expected
    assert torch.equal(rows.fmri, planted.windows[:60])


def test_an_impossible_number_of_tokens_is_refused(planted: Planted) -> None:
    planted.run("premask", tiny())
    with pytest.raises(ValueError, match=r"tokens.tokens is 7, but the text condition has 5 tokens"):
        planted.run("tokens", tiny(tokens__tokens=7))
    result, output = planted.run("tokens", tiny(tokens__tokens=7, tokens__lambda_condition=0))
    assert load_file(output / "predictions.safetensors")["condition"].shape == (20, 7, WIDTH)
    assert "condition_mse" not in result.metrics
    with pytest.raises(ValueError, match=r"tokens\.freeze must be at most premask\.depth"):
        tiny(tokens__freeze=2)
