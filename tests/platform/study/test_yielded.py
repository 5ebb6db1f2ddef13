"""Targets that the data set does not yield are refused before anything starts, with what would work."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.run.admission import refuse_absent_gpu
from platform.study.yielded import why_not_yielded
from tests.platform.study_texts import build, complaints
from trainables.config.trial import resolve
from trainables.metrics.registry import metric_named


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evaluate.object_ssim", "needs a known answer, which data sets of kind folder do not have"),
        ("evaluate.test_shape_accuracy", "use one of: evaluate.two_way_i"),
        ("importance.motion_gradient_voxels", "use one of: importance."),
        ("importance.motion_shuffled_ratio", None),
        ("evaluate.ssim", None),
    ],
)
def test_a_folder_yields_no_metric_of_a_known_answer(tmp_path: Path, name: str, message: str | None) -> None:
    config = resolve({"dataset.kind": "folder", "dataset.path": str(tmp_path)})
    metric = metric_named(name)
    assert metric is not None
    reason = why_not_yielded(metric, config)
    assert (reason is None) if message is None else (reason is not None and message in reason)
    assert why_not_yielded(metric, resolve({})) is None


@pytest.mark.parametrize(
    ("name", "clips", "is_refused"),
    [
        ("semantic.retrieval_image_top10", 10, True),
        ("semantic.retrieval_image_top10", 11, False),
        ("semantic.retrieval_text_large_top10", 2, False),
        ("semantic.retrieval_text_top1", 1, True),
    ],
)
def test_retrieval_that_is_always_right_is_refused(name: str, clips: int, is_refused: bool) -> None:
    text = f"target: {name}\ntrials: 2\nbase: {{dataset.validation_clips: {clips}}}\n"
    text += "space:\n  semantic.hidden: {choice: [8, 16]}\n"
    if is_refused:
        (line,) = complaints(text)
        assert line.startswith("test.yaml:1:")
        assert f"is 1 in every trial, since the gallery has {clips} clips; set dataset.validation_clips to more" in line
    else:
        build(text)


def test_a_device_that_is_not_there_is_refused() -> None:
    text = "target: semantic.retrieval_image_top1\ntrials: 2\nbase: {semantic.train.device: DEVICE}\n"
    text += "space:\n  semantic.hidden: {choice: [8, 16]}\n"
    study = build(text.replace("DEVICE", "cuda"))
    with pytest.raises(UserError, match=r"semantic\.train\.device is cuda, but there is none; write auto or cpu"):
        refuse_absent_gpu(study, has_gpu=False, where="there is none")
    refuse_absent_gpu(study, has_gpu=True, where="")
    refuse_absent_gpu(build(text.replace("DEVICE", "auto")), has_gpu=False, where="")


BOTH = {"train.rows": "train_and_validation", "train.keep": "last"}


@pytest.mark.parametrize(
    ("decoder", "name", "is_refused"),
    [
        ("semantic", "semantic.retrieval_image_top1", True),
        ("semantic", "semantic.test_retrieval_image_top1", False),
        ("semantic", "semantic.loss", False),
        ("semantic", "structure.latent_mse", False),
        ("structure", "motion.rollout_mse", True),
        ("structure", "evaluate.ssim", True),
        ("structure", "evaluate.test_ssim", False),
    ],
)
def test_metrics_of_clips_that_a_decoder_trained_on_are_refused(decoder: str, name: str, is_refused: bool) -> None:
    metric = metric_named(name)
    assert metric is not None
    reason = why_not_yielded(metric, resolve({f"{decoder}.{field}": value for field, value in BOTH.items()}))
    assert (reason is not None) == is_refused
    if reason is not None:
        assert f"on which {decoder}.train.rows: train_and_validation trains; use {metric.stage}.test_" in reason


def test_a_sweep_over_the_clips_that_are_trained_on_has_no_validation_target() -> None:
    text = "target: structure.latent_mse\ntrials: 2\nbase: {structure.train.keep: last}\n"
    text += "space:\n  structure.train.rows: {choice: [train, train_and_validation]}\n"
    (line,) = complaints(text)
    assert line.startswith("test.yaml:1:")
    assert "is of validation clips, on which structure.train.rows: train_and_validation trains" in line


def test_the_metric_of_a_monitor_needs_that_monitor() -> None:
    text = "target: motion.true_first_mse\ntrials: 2\nspace:\n  motion.depth: {choice: [1, 2]}\n"
    (line,) = complaints(text)
    assert "is reported only with motion.monitor: true_first_mse; set it, or choose another metric" in line
    build(text.replace("space:", "base: {motion.monitor: true_first_mse}\nspace:"))


@pytest.mark.parametrize(
    ("protocol", "name", "message"),
    [
        ("mindsweep-1", "evaluate.ssim", None),
        (
            "mindsweep-1",
            "evaluate.test_fifty_way_i",
            "a classifier of 52 classes or more, but the image_classifier",
        ),
        ("mindsweep-1", "evaluate.clip_pairs", "is no metric of mindsweep-1, which has clip_pcc; neurons-1 has it"),
        ("neurons-1", "evaluate.test_clip_pairs", None),
        ("neurons-1", "evaluate.test_clip_pcc", "is no metric of neurons-1, which has clip_pairs"),
        ("neurons-1", "evaluate.test_object_ssim", "which chooses frames and leaves borders in"),
        ("mind_animator-1", "evaluate.test_fifty_way_v", "is no metric of mind_animator-1, which has 2-way only"),
        ("mind_animator-1", "evaluate.test_object_ssim", None),
        ("mindsweep-1", "evaluate.test_opponent_energy", None),
        ("neurons-1", "evaluate.test_motion_energy", "is no metric of neurons-1; mindsweep-1 has it"),
    ],
)
def test_a_protocol_has_its_own_metrics(protocol: str, name: str, message: str | None) -> None:
    metric = metric_named(name)
    assert metric is not None
    reason = why_not_yielded(metric, resolve({"evaluate.protocol": protocol}))
    assert (reason is None) if message is None else (reason is not None and message in reason)


@pytest.mark.parametrize(
    ("base", "messages"),
    [
        (
            "evaluate.protocol: mind_video-1",
            [
                "mind_video-1 cannot judge these videos: 50-way needs a classifier of 52 classes",
                "it judges 256x256 pixels, but the data set has 64x64; these can: mindsweep-1, mind_animator-1",
            ],
        ),
        (
            "evaluate.protocol: mind_animator-1, evaluate.resolution: 128",
            ["mind_animator-1 fixes it at 512; leave the field out"],
        ),
        ("evaluate.protocol: neurons-2", ["evaluate.protocol"]),
    ],
)
def test_a_protocol_that_cannot_be_kept_is_refused_before_anything_starts(base: str, messages: list[str]) -> None:
    text = "target: evaluate.ssim\ntrials: 2\nspace:\n  semantic.hidden: {choice: [8, 16]}\n"
    text += f"base: {{generator.validation_clips: 6, {base}}}\n"
    lines = complaints(text)
    assert all(any(message in line for line in lines) for message in messages), lines
    assert all(line.startswith("test.yaml:5:") for line in lines)
    build(text.replace(base, "evaluate.protocol: mind_animator-1"))


def test_conditions_of_two_protocols_are_not_compared() -> None:
    metric = metric_named("evaluate.ssim")
    assert metric is not None
    assert metric.scale_depends_on("evaluate.protocol")
