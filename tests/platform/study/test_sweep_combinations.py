"""Fields of a search space that do not go together: with the target, the scheduler, the data set, the generator."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.study.sweep_file import load_study
from tests.platform.study_texts import MOTION, build, complaints
from tests.plugin_files import MEAN, written


@pytest.mark.parametrize(
    ("target", "field", "would_do", "would_not"),
    [
        ("semantic.loss", "semantic.alpha: {uniform: [0, 1]}", "semantic.retrieval_image_top5", "motion"),
        ("semantic.loss", "semantic.train.batch_size: {choice: [8, 32]}", "semantic.validation_loss", "semantic.loss"),
        (
            "semantic.loss",
            "semantic.image_augmentation: {choice: [true, false]}",
            "semantic.align_mse",
            "semantic.loss",
        ),
        (
            "structure.loss",
            "structure.sparsify.voxel_fraction: {uniform: [0, 0.5]}",
            "structure.latent_mse",
            "structure.loss",
        ),
        ("motion.loss", "motion.attention_dropout: {uniform: [0, 0.5]}", "motion.rollout_mse", "motion.loss"),
        ("motion.loss", "motion.mask_ratio: {uniform: [0, 0.9]}", "motion.rollout_mse", "semantic"),
        (
            "motion.teacher_forced_mse",
            "motion.kind: {choice: [cmg, per_frame_mlp]}",
            "motion.rollout_mse",
            "motion.loss",
        ),
    ],
)
def test_a_target_whose_scale_is_swept_is_refused_with_those_that_would_do(
    target: str, field: str, would_do: str, would_not: str
) -> None:
    lines = complaints(f"target: {target}\ntrials: 4\nspace:\n  {field}\n")
    (line,) = [line for line in lines if line.startswith("test.yaml:1:1: target:")]
    assert "is not comparable across" in line
    assert field.split(":")[0] in line
    _, _, names = line.partition("comparable metrics: ")
    assert would_do in names.split(", ")
    assert would_not not in names


def test_a_profile_is_compared_by_what_it_sets() -> None:
    lines = complaints("target: motion.rollout_mse\ntrials: 4\nspace:\n  profile: {choice: [paper, released_code]}\n")
    assert any("is not comparable across profile" in line for line in lines)


def test_no_metric_is_comparable_across_data_sets() -> None:
    lines = complaints("target: motion.rollout_mse\ntrials: 4\nspace:\n  dataset.noise: {uniform: [0, 1]}\n")
    assert any("run one study for each value of dataset.noise" in line for line in lines)


def test_a_field_that_reaches_no_target_is_refused() -> None:
    lines = complaints(MOTION + "  semantic.alpha: {uniform: [0, 1]}\n")
    what = "changes nothing that motion.rollout_mse depends on; remove it, or choose another target"
    assert lines == [f"test.yaml:7:3: space.semantic.alpha: {what}"]


def test_several_targets_exclude_early_stopping_and_cmaes() -> None:
    text = MOTION.replace("motion.rollout_mse", "[motion.rollout_mse, motion.teacher_forced_mse]")
    assert "uses one target to stop trials" in complaints(text + "scheduler: asha\n")[0]
    two = text + "  motion.dropout: {uniform: [0, 0.5]}\n"
    (line,) = complaints(two + "sampler: cmaes\n")
    assert "cmaes supports one target" in line
    assert "nsga2" in line


def test_early_stopping_wants_a_target_that_is_told_by_epoch() -> None:
    text = MOTION.replace("motion.rollout_mse", "evaluate.epe")
    lines = complaints(text + "scheduler: median\n", "generator.validation_clips=4")
    what = "median needs a value per epoch, but evaluate.epe has one value at the end; use fifo"
    assert lines == [f"test.yaml:7:1: scheduler: {what}"]


def test_a_decoder_that_is_solved_has_no_epochs_to_stop_at_and_no_loss() -> None:
    text = "target: semantic.projection_mse\nscheduler: asha\ntrials: 2\nspace:\n  semantic.alpha: {uniform: [0, 1]}\n"
    solved = "semantic.kind: ridge is solved without epochs"
    lines = complaints(text, "semantic.kind=ridge")
    assert lines == [f"test.yaml:2:1: scheduler: asha needs a value per epoch, but {solved}; use fifo"]
    swept = text + "  semantic.kind: {choice: [mlp, ridge]}\n"
    assert [line for line in complaints(swept) if solved in line] == lines
    build(text)
    build(text.replace("asha", "fifo"), "semantic.kind=ridge")
    loss = text.replace("asha", "fifo").replace("projection_mse", "loss")
    (line,) = [line for line in complaints(loss, "semantic.kind=ridge") if solved in line]
    assert "choose a metric of the validation clips" in line


def test_a_decoder_that_is_trained_on_others_first_is_not_judged_by_its_early_epochs() -> None:
    text = "target: semantic.projection_mse\nscheduler: asha\ntrials: 2\nspace:\n  semantic.alpha: {uniform: [0, 1]}\n"
    others = "voxels.subjects=[0, 1]"
    (line,) = complaints(text, others, "semantic.fine_tune.epochs=5")
    assert line.startswith("test.yaml:2:1: scheduler: asha compares trials by their early epochs")
    swept = text + "  semantic.fine_tune.epochs: {choice: [0, 5]}\n"
    assert complaints(swept, others) == [line]
    build(text, others)
    build(text, others, "structure.fine_tune.epochs=5")
    build(text.replace("asha", "fifo"), others, "semantic.fine_tune.epochs=5")


def test_a_decoder_of_a_plugin_that_is_solved_has_no_epochs_to_stop_at(tmp_path: Path) -> None:
    text = """\
plugins: [mean.py]
target: structure.latent_mse
scheduler: asha
trials: 2
base: {structure.kind: mean}
space: {structure.dropout: {uniform: [0, 0.5]}}
"""
    written(tmp_path, mean_py=MEAN, mean_yaml=text)
    with pytest.raises(UserError, match=r"needs a value per epoch, but structure\.kind: mean is solved without epochs"):
        load_study(tmp_path / "mean.yaml")


def test_videos_are_judged_on_clips_that_are_made() -> None:
    text = MOTION.replace("motion.rollout_mse", "evaluate.epe")
    (line,) = complaints(text)
    assert "generator.validation_clips is 0" in line
    build(text, "generator.validation_clips=4")


def test_cmaes_wants_numbers_that_are_always_there() -> None:
    text = (
        MOTION
        + "  motion.kind: {choice: [cmg, per_frame_mlp]}\n  motion.depth: {int: [1, 2], when: {motion.kind: cmg}}\n"
    )
    lines = complaints(text + "sampler: cmaes\n")
    assert [line.split(":")[3].strip() for line in lines] == ["space.motion.kind", "space.motion.depth"]


def test_a_value_that_only_another_swept_field_allows_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")
    study = build(
        "target: motion.rollout_mse\ntrials: 4\nspace:\n"
        "  motion.heads: {choice: [3, 4]}\n  motion.attention_width: {choice: [96, 256]}\n"
    )
    assert study.space.violated({"motion.heads": 3, "motion.attention_width": 96}) is None
    assert study.space.violated({"motion.heads": 3, "motion.attention_width": 256}) is not None


def test_what_is_wrong_with_a_folder_of_data_is_told_at_its_key(tmp_path: Path) -> None:
    text = MOTION.replace("motion.depth: 2", f"dataset: {{kind: folder, path: {tmp_path / 'absent'}}}")
    lines = complaints(text)
    assert any("test.yaml:4:27: base.dataset.path:" in line and "absent" in line for line in lines)


def test_a_subject_that_is_not_there_is_told_at_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")
    (line,) = complaints(MOTION.replace("motion.depth: 2", "voxels.subject: 9"))
    assert line.startswith("test.yaml:4:3: base.voxels.subject:")
    assert "3 subject" in line


def test_what_is_wrong_with_one_of_two_data_sets_is_told_at_its_key() -> None:
    across = "dataset: {kind: across, train: {subjects: 1}, test: {subjects: 2}, test_subject: 1}"
    text = (
        "target: semantic.projection_mse\ntrials: 2\nbase:\n  "
        + across
        + "\nspace:\n  semantic.alpha: {uniform: [0, 1]}\n"
    )
    (line,) = complaints(text.replace("test_subject: 1", "test_subject: 2"))
    assert line.startswith("test.yaml:4:70: base.dataset.test_subject: is 2; that data set has 2 subject(s)")
    (line,) = complaints(text, "dataset.test_subject=3")
    assert line.startswith("--set dataset.test_subject=3: base.dataset.test_subject: is 3;")
    (line,) = complaints(text.replace("test: {subjects: 2}", "test: {frames: 6}"), "dataset.test_subject=0")
    assert "base.dataset.train.subjects: clips have 8 frames of" in line


def test_of_fields_of_one_name_the_one_that_is_meant_is_told() -> None:
    base = "base: {dataset.subjects: 2, semantic.fine_tune.epochs: 1}\n"
    (line,) = complaints(
        "target: semantic.projection_mse\ntrials: 2\n" + base + "space: {semantic.alpha: {uniform: [0, 1]}}\n"
    )
    assert line.startswith("test.yaml:3:29: base.semantic.fine_tune.epochs:")


def test_swept_subjects_and_clips_that_are_not_there_are_told_at_their_values() -> None:
    text = "target: semantic.projection_mse\ntrials: 2\nspace:\n  voxels.subjects: {choice: [[], [0, 1], [0, 9]]}\n"
    (line,) = complaints(text)
    assert line.startswith("test.yaml:4:42: space.voxels.subjects.choice[2]: has [9]; the data set has 3 subject")
    clips = text.replace("voxels.subjects: {choice: [[], [0, 1], [0, 9]]}", "voxels.own_clips: {int: [60, 5000]}")
    (line,) = complaints(clips)
    assert line.startswith("test.yaml:4:22: space.voxels.own_clips.int:")
    assert "is 5000; the data set has 2400 training clips" in line
    build(clips.replace("5000", "2400"))


def test_a_named_set_of_the_generator_changes_what_the_video_metrics_depend_on() -> None:
    text = "target: evaluate.vifi\nsampler: grid\nbase: {generator.validation_clips: 4}\nspace:\n"
    study = build(text + "  generation: {choice: [gentle, paper]}\n")
    assert set(study.own_stages()) == {"controls", "control_scores", "reconstruct", "evaluate"}
    gentle, paper = (spec for _, spec in study.known_trials())
    changed = {a.stage for a, b in zip(gentle.runs, paper.runs, strict=True) if a.identity != b.identity}
    assert changed == set(study.own_stages())


def test_a_generator_that_no_target_uses_is_refused() -> None:
    space = "  generation: {choice: [gentle, paper]}\n  motion.depth: {int: [1, 3]}\n"
    (line,) = complaints(f"target: motion.rollout_mse\ntrials: 4\nspace:\n{space}")
    assert "changes nothing that motion.rollout_mse depends on" in line


def test_a_named_set_of_the_generator_can_be_swept(tmp_path: Path) -> None:
    """It stands for fields of another section, which the target depends on."""
    text = """\
target: evaluate.ssim
trials: 2
sampler: random
base: {generator.validation_clips: 24}
space: {generation: {choice: [gentle, paper]}}
"""
    (path := tmp_path / "sets.yaml").write_text(text, encoding="utf-8")
    assert [*load_study(path).space.domains] == ["generation"]
