"""Co-training and generation of `mindvideo_like` on planted data, and settings that are refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from storage.local import LocalStore
from storage.runs import RunStore
from tests.trainables.test_mindvideo_stages import TOKENS, TRAINED, VIDEO, WIDTH, Planted, tiny
from trainables.backbones.load import load_generator
from trainables.config.trial import resolve
from trainables.context import Context, StageTask
from trainables.execute import execute
from trainables.graph import stage_runs
from trainables.loop import Job
from trainables.networks.cotrained import add_delta, add_temporal_attention
from trainables.networks.inflation import as_video_unet
from trainables.stages import mindvideo
from trainables.stages.cotrain import _learner
from trainables.stages.decoding import read_rows
from trainables.stages.tokens import TARGETS
from trainables.stages.volumes import with_windows


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def _run_up_to(planted: Planted, last: str, **overrides: Any) -> tuple[Any, Path]:
    names = (*TRAINED, "mindvideo")
    result = None
    for stage in names[: names.index(last) + 1]:
        result = planted.run(stage, tiny(**overrides))
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("parts", "trained"), [("attention", {"attn1", "attn2", "temporal"}), ("temporal", {"temporal"}), ("none", set())]
)
def test_cotraining_writes_what_it_changed_and_nothing_else(planted: Planted, parts: str, trained: set[str]) -> None:
    result, output = _run_up_to(planted, "cotrain", cotrain__parts=parts)
    delta = load_file(output / "delta.safetensors")
    names = {part for name in delta for part in ("attn1", "attn2", "temporal") if f".{part}." in name}
    assert names == trained
    assert all(value.abs().max() > 0 for value in delta.values())
    assert (result.metrics["noise_mse"] == result.metrics["noise_mse_before"]) is (parts == "none")
    assert len(result.history) == (0 if parts == "none" else 3)


def test_the_generator_has_the_network_that_was_trained(planted: Planted) -> None:
    """The image model with the stored difference predicts the noise that the co-trained network predicts."""
    config = tiny(cotrain__parts="all")
    _, output = _run_up_to(planted, "cotrain", cotrain__parts="all")
    device = torch.device("cpu")
    task = StageTask(config, 0, planted.inputs, Context(planted.folder, planted.runs.checkpoints("none")))
    rows = {
        name: with_windows(task, split) for name, split in read_rows(task, (*TARGETS, "latents"), device=device).items()
    }
    unet = as_video_unet(load_generator("phantom").unet, config.generator, frames=VIDEO[0])
    add_delta(unet, load_file(output / "delta.safetensors"), frames=VIDEO[0])
    job = Job("cotrain", 0, config.cotrain.train, width=1, monitor="noise_mse", goal="min", context=task.context)
    learner = _learner(task, rows, job, device=device)
    learner.model.unet = unet
    result, _ = planted.run("cotrain", config)
    assert learner.noise_mse("validation") == pytest.approx(result.metrics["noise_mse"], rel=1e-4)
    assert learner.noise_mse("validation") != pytest.approx(result.metrics["noise_mse_before"], rel=1e-3)
    with pytest.raises(ValueError, match="the UNet lacks 1 weight"):
        add_delta(unet, {"mid_block.nothing": torch.zeros(1)}, frames=VIDEO[0])


def test_temporal_attention_has_no_effect_before_it_is_trained() -> None:
    plain, added = load_generator("phantom").unet, load_generator("phantom").unet
    add_temporal_attention(added, frames=VIDEO[0])
    x, condition = torch.randn(6, 4, 8, 8), torch.randn(6, TOKENS, WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(
            added(x, 10, encoder_hidden_states=condition).sample, plain(x, 10, encoder_hidden_states=condition).sample
        )


def test_videos_come_from_tokens_and_ceilings_from_captions(planted: Planted) -> None:
    _, output = _run_up_to(planted, "mindvideo")
    videos = load_file(output / "videos.safetensors")
    assert videos["videos"].shape == videos["ceiling"].shape == (3, VIDEO[0], 32, 32, 3)
    assert videos["index"].tolist() == [70, 71, 72]
    planted.truth["condition"][71] += 1.0
    planted.add("features", {"features.safetensors": planted.truth, "features.json": {"condition_tokens": TOKENS}})
    _, output = planted.run("mindvideo", tiny())
    other = load_file(output / "videos.safetensors")
    assert torch.equal(other["videos"], videos["videos"]), "captions of test clips are not seen"
    assert [not torch.equal(a, b) for a, b in zip(other["ceiling"], videos["ceiling"], strict=True)] == [0, 1, 0]


def test_the_mean_of_the_test_set_is_used_only_with_a_warning(planted: Planted) -> None:
    _run_up_to(planted, "cotrain")
    made, warned = {}, {}
    for kind in ("mean_train", "mean_test", "empty_prompt"):
        output = planted.folder / kind
        output.mkdir()
        context = Context(output, planted.runs.checkpoints(kind))
        mindvideo.run(StageTask(tiny(mindvideo__uncond=kind), 0, planted.inputs, context))
        made[kind] = load_file(output / "videos.safetensors")["videos"]
        warned[kind] = list(context.telemetry.warnings)
    assert not torch.equal(made["mean_train"], made["mean_test"])
    assert not torch.equal(made["mean_train"], made["empty_prompt"])
    assert [len(texts) for texts in warned.values()] == [0, 1, 0]
    assert "mean fMRI of the test clips" in warned["mean_test"][0]


def test_another_number_of_tokens_has_no_ceiling(planted: Planted) -> None:
    _, output = _run_up_to(planted, "mindvideo", tokens__tokens=3, tokens__lambda_condition=0)
    assert sorted(load_file(output / "videos.safetensors")) == ["index", "videos"]


def test_settings_that_cannot_be_are_refused() -> None:
    for fields, message in (
        ({"generator.procedure": "img2img"}, r"generator\.procedure must be scratch, but got img2img"),
        ({"cotrain.parts": "temporal", "cotrain.temporal": False}, "so temporal must be true"),
        ({"cotrain.parts": "none", "cotrain.encoder": True}, "so encoder must be false"),
        ({"cotrain.train.init": "xavier"}, r"train\.init must be torch, not xavier"),
        ({"premask.heads": 5}, r"heads must divide width \(128\), but got 5"),
        ({"tokens.lambda_image": 0, "tokens.lambda_text": 0, "tokens.lambda_condition": 0}, "one must be greater"),
        (
            {"premask.train": {"rows": "train_and_validation", "keep": "last"}},
            r"train\.rows must be train, not train_and_validation",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            resolve({"system": "mindvideo_like", **fields})


def test_sampling_does_not_train_anew_and_the_network_does() -> None:
    def identity(stage: str = "cotrain", **fields: Any) -> str:
        config = resolve({"system": "mindvideo_like", **{k.replace("__", "."): v for k, v in fields.items()}})
        return next(run.identity for run in stage_runs(config, seed=0, targets=["cotrain"]) if run.stage == stage)

    assert identity("premask", voxels__window=3) == identity("premask") != identity("premask", voxels__subject=1)
    assert identity() != identity(voxels__window=3)
    assert identity(generator__steps=10) == identity(generator__guidance=7.0) == identity(mindvideo__uncond="mean_test")
    assert identity() != identity(generator__attention="first_and_previous")
    assert identity() != identity(generator__norm="per_frame")
    assert identity() != identity(cotrain__noise_share=0.2)


@pytest.mark.long
def test_a_trial_of_the_system_is_judged(tmp_path: Path) -> None:
    """All of its stages, from clips to scores, with the system's own ceiling beside the generator's."""
    config = resolve(
        {
            "system": "mindvideo_like",
            "dataset": {"train_clips": 12, "validation_clips": 2, "test_clips": 4, "block_clips": 2, "subjects": 1},
            "features": {"image_variants": 0, "text_variants": 0},
            "premask": {"width": 16, "depth": 1, "decoder_width": 16, "decoder_depth": 1, "train": {"epochs": 1}},
            "tokens.train.epochs": 1,
            "cotrain": {"epoch_clips": 4, "validation_clips": 2, "train": {"epochs": 1}},
            "generator": {"steps": 2, "test_clips": 4},
        }
    )
    runs = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache")
    done = {}
    for run in stage_runs(config, seed=0, targets=["evaluate"]):
        done[run.stage] = execute(run, config, runs=runs, scratch=tmp_path / "scratch")
    assert not {"semantic", "structure", "motion", "reconstruct"} & set(done)
    metrics = done["evaluate"].metrics
    for name in ("test_two_way_i", "test_vifi", "test_ssim", "test_epe"):
        assert math.isfinite(metrics[name])
    assert metrics["test_ssim_ceiling"] != metrics["test_ssim_ceiling_generator"]
    assert "test_ssim_plain" not in metrics
