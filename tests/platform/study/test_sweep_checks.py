"""Every mistake in a search-space file is answered with its line, its key and what would be right."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.study.sweep_file import load_study
from tests.platform.study_texts import build, complaints
from tests.plugin_files import MEAN, written

MOTION = """\
target: motion.rollout_mse
trials: 4
base:
  motion.depth: 2
space:
  motion.train.lr: {log_uniform: [1e-4, 1e-2]}
"""


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
target: motion.rolout_mse
trials: 4
sampler: tpee
base:
  motion:
    dropout: "0.1"
space:
  motion.dept: {int: [1, 4]}
  motion.patch_size: {choice: [2, 3, 4]}
constraints:
  - motion.patch_size < motion.foo
"""
    lines = complaints(text)
    assert [line.split(":")[1] for line in lines] == ["1", "3", "6", "8", "9", "11"]
    assert all(line.startswith("test.yaml:") for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "start", "phrases"),
    [
        # keys of the file
        ("trials: 4", "trails: 4", "test.yaml:2:1: trails:", ["did you mean trials?"]),
        ("trials: 4", "trials: many", "test.yaml:2:1: trials:", ["must be a valid integer, but got 'many'"]),
        ("trials: 4", "trials: 0", "test.yaml:2:1: trials:", ["greater than or equal to 1"]),
        ("trials: 4", "trials: true", "test.yaml:2:1: trials:", ["valid integer"]),
        ("trials: 4", "repeats: 2", "test.yaml:1:1: trials:", ["is missing", "number of points"]),
        ("trials: 4", "trials: 4\nrepeats: 0", "test.yaml:3:1: repeats:", ["greater than or equal to 1"]),
        ("trials: 4", "trials: 4\nseed: -1", "test.yaml:3:1: seed:", ["greater than or equal to 0"]),
        ("target: motion.rollout_mse\n", "", "test.yaml:1:1: target:", ["is missing"]),
        # targets
        (
            "rollout_mse",
            "rolout_mse",
            "test.yaml:1:1: target:",
            ["no metric 'motion.rolout_mse'", "motion.rollout_mse"],
        ),
        ("rollout_mse", "xyz", "test.yaml:1:1: target:", ["motion.rollout_mse", "motion.teacher_forced_mse"]),
        (
            "motion.rollout_mse",
            "moton.rollout_mse",
            "test.yaml:1:1: target:",
            ["no stage 'moton'", "mean motion?"],
        ),
        ("motion.rollout_mse", "[]", "test.yaml:1:1: target:", ["is empty"]),
        ("motion.rollout_mse", "[motion.rollout_mse, motion.rollout_mse]", "test.yaml:1:30: target[1]:", ["twice"]),
        (
            "motion.rollout_mse",
            "structure.latent_mse",
            "test.yaml:1:1: target:",
            ["the same in all trials", "no swept field changes structure"],
        ),
        # samplers and schedulers
        ("trials: 4", "trials: 4\nsampler: tpee", "test.yaml:3:1: sampler:", ["no sampler 'tpee'", "did you mean tpe"]),
        (
            "trials: 4",
            "trials: 4\nsampler: bayes",
            "test.yaml:3:1: sampler:",
            ["gp, grid, nsga2, nsga3, qmc", "auto"],
        ),
        (
            "trials: 4",
            "sampler: grid",
            "test.yaml:6:3: space.motion.train.lr:",
            ["no grid", "set a step or use choice"],
        ),
        ("trials: 4", "trials: 4\nsampler: cmaes", "test.yaml:3:1: sampler:", ["at least two fields"]),
        ("trials: 4", "trials: 4\nscheduler: ahsa", "test.yaml:3:1: scheduler:", ["did you mean asha"]),
        ("trials: 4", "trials: 4\nscheduler: help", "test.yaml:3:1: scheduler:", ["there are: asha, fifo, median"]),
        (
            "trials: 4",
            "trials: 4\nscheduler: pbt",
            "test.yaml:3:1: scheduler:",
            ["is a function of its config", "asha, median"],
        ),
        ("trials: 4", "trials: 4\nscheduler: 3", "test.yaml:3:1: scheduler:", ["a name or a name with options"]),
        (
            "trials: 4",
            "trials: 4\nrepeats: 3\nscheduler: {asha: {grace_epochs: 3}}",
            "test.yaml:4:1: scheduler:",
            ["asha stops each repeat of a point alone", "of 3 repeats", "use fifo, or repeats: 1"],
        ),
        (
            "trials: 4",
            "trials: 4\nscheduler: {asha: {grace: 3}}",
            "test.yaml:3:20: scheduler.asha.grace:",
            ["grace_epochs, reduction_factor"],
        ),
        (
            "trials: 4",
            "trials: 4\nscheduler: {asha: {reduction_factor: 1}}",
            "test.yaml:3:20: scheduler.asha.reduction_factor:",
            ["greater than or equal to 2"],
        ),
        # base
        ("motion.depth: 2", "motion.dept: 2", "test.yaml:4:3: base.motion.dept:", ["did you mean motion.depth"]),
        ("motion.depth: 2", "moton: {depth: 2}", "test.yaml:4:11: base.moton.depth:", ["no such key"]),
        ("motion.depth: 2", "motion.depth: deep", "test.yaml:4:3: base.motion.depth:", ["valid integer", "'deep'"]),
        ("motion.depth: 2", "motion.depth: '2'", "test.yaml:4:3: base.motion.depth:", ["must be of the type int"]),
        ("motion.depth: 2", "motion.depth: true", "test.yaml:4:3: base.motion.depth:", ["must be of the type int"]),
        ("motion.depth: 2", "motion: 2", "test.yaml:4:3: base.motion:", ["must be a mapping"]),
        ("motion.depth: 2", "motion.mask_ratio: 1.0", "test.yaml:4:3: base.motion.mask_ratio:", ["less than 1"]),
        ("motion.depth: 2", "motion.mask_ratio: -0.1", "test.yaml:4:3: base.motion.mask_ratio:", ["greater than or"]),
        (
            "motion.depth: 2",
            "motion.patch_size: 5",
            "test.yaml:4:3: base.motion.patch_size:",
            ["must divide", "[1, 2, 4"],
        ),
        ("motion.depth: 2", "motion.heads: 3", "test.yaml:4:3: base.motion.heads:", ["must divide attention_width"]),
        ("motion.depth: 2", "motion.kind: cgm", "test.yaml:4:3: base.motion.kind:", ["no 'cgm'", "did you mean cmg"]),
        (
            "motion.depth: 2",
            "dataset.kind: cc",
            "test.yaml:4:3: base.dataset.kind:",
            ["'cc'", "there are: across, appearing, folder, phantom"],
        ),
        (
            "motion.depth: 2",
            "dataset: folder",
            "test.yaml:4:3: base.dataset:",
            ["{kind: folder", "phantom, appearing, folder"],
        ),
        ("motion.depth: 2", "dataset.nois: 2", "test.yaml:4:3: base.dataset.nois:", ["did you mean dataset.noise"]),
        ("motion.depth: 2", "preset: papr", "test.yaml:4:3: base.preset:", ["did you mean paper"]),
        (
            "motion.depth: 2",
            "motion.depth: 2\n  motion: {depth: 3}",
            "test.yaml:5:12: base.motion.depth:",
            ["given twice; first at test.yaml:4:3"],
        ),
        ("base:\n  motion.depth: 2", "base:", "test.yaml:3:1: base:", ["must be a mapping"]),
        ("motion.depth: 2", "motoin: {}", "test.yaml:4:3: base.motoin:", ["is empty and sets nothing"]),
        # space
        ("space:\n  motion.train.lr: {log_uniform: [1e-4, 1e-2]}", "space: {}", "test.yaml:5:1: space:", ["is empty"]),
        (
            "motion.train.lr:",
            "motion.train.l:",
            "test.yaml:6:3: space.motion.train.l:",
            ["did you mean motion.train.l"],
        ),
        ("motion.train.lr:", "motion.lr:", "test.yaml:6:3: space.motion.lr:", ["motion.train.lr"]),
        ("log_uniform: [1e-4, 1e-2]", "log_unifrom: [1, 2]", "test.yaml:6:3: space.motion.train.lr:", ["exactly one"]),
        ("[1e-4, 1e-2]", "[1e-2, 1e-4]", "test.yaml:6:3: space.motion.train.lr:", ["below the upper, but got [0.01"]),
        ("[1e-4, 1e-2]", "[0, 1e-2]", "test.yaml:6:35: space.motion.train.lr.log_uniform[0]:", ["greater than 0"]),
        ("[1e-4, 1e-2]", "[1e-4]", "test.yaml:6:21: space.motion.train.lr.log_uniform:", ["must be [lower, upper]"]),
        (
            "[1e-4, 1e-2]",
            "[1e-4, 1, 2]",
            "test.yaml:6:21: space.motion.train.lr.log_uniform:",
            ["must be [lower, upper]"],
        ),
        ("[1e-4, 1e-2]}", "[1e-4, 1], step: 2}", "test.yaml:6:3: space.motion.train.lr:", ["takes no step"]),
        ("[1e-4, 1e-2]}", "[1e-4, 1], setp: 2}", "test.yaml:6:45: space.motion.train.lr.setp:", ["did you mean step"]),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.mask_ratio: {choice: [0.5, 1.0]}",
            "test.yaml:6:37: space.motion.mask_ratio.choice[1]:",
            ["less than 1, but got 1.0"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.mask_ratio: {uniform: [0.5, 1]}",
            "test.yaml:6:23: space.motion.mask_ratio.uniform:",
            ["less than 1"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.patch_size: {choice: [2, 3]}",
            "test.yaml:6:35: space.motion.patch_size.choice[1]:",
            ["must divide features.latent_size (16)", "[1, 2, 4, 8, 16]"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.patch_size: {int: [1, 8]}",
            "test.yaml:6:23: space.motion.patch_size.int:",
            ["4 of its 8 values", "write choice: [1, 2, 4, 8]"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.width: {uniform: [64, 256]}",
            "test.yaml:6:18: space.motion.width.uniform:",
            ["valid integer"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.train.device: {choice: [cpu, cuda]}",
            "test.yaml:6:3: space.motion.train.device:",
            ["changes no result"],
        ),
        (
            "motion.train.lr: {log_uniform: [1e-4, 1e-2]}",
            "motion.heads: {choice: [2, '4']}",
            "test.yaml:6:30: space.motion.heads.choice[1]:",
            ["must be of the type int"],
        ),
        # conditions, constraints, points
        (
            "1e-2]}",
            "1e-2], when: {motion.kind: cmg}}",
            "test.yaml:6:55: space.motion.train.lr.when.motion.kind:",
            ["motion.kind is not a swept field"],
        ),
        (
            "1e-2]}",
            "1e-2], when: {motion.depth: 9}}\n  motion.depth: {int: [1, 4]}",
            "test.yaml:6:55: space.motion.train.lr.when.motion.depth:",
            ["9 is not in the domain of motion.depth"],
        ),
        (
            "1e-2]}",
            "1e-2], when: {motion.depth: 2}}\n  motion.depth: {int: [1, 4], when: {motion.train.lr: 1e-3}}",
            "test.yaml:",
            ["form a cycle"],
        ),
        (
            "1e-2]}",
            "1e-2]}\nconstraints: [motion.train.lr <]",
            "test.yaml:7:15: constraints[0]:",
            ["is not an expression"],
        ),
        ("1e-2]}", "1e-2]}\nconstraints: [motion.lr < 1]", "test.yaml:7:15: constraints[0]:", ["motion.train.lr"]),
        ("1e-2]}", "1e-2]}\nconstraints: [motion.depth < 1]", "test.yaml:7:15: constraints[0]:", ["no swept field"]),
        ("1e-2]}", "1e-2]}\nconstraints: [motion.train.lr > 1]", "test.yaml:7:1: constraints:", ["no point to try"]),
        ("1e-2]}", "1e-2]}\npoints: [{motion.train.lr: 1}]", "test.yaml:7:11: points[0].motion.train.lr:", ["outside"]),
        ("1e-2]}", "1e-2]}\npoints: [{motion.heads: 1}]", "test.yaml:7:11: points[0].motion.heads:", ["is not swept"]),
        ("1e-2]}", "1e-2]}\npoints: [{}, {}]", "test.yaml:7:14: points[1]:", ["same as point 0"]),
        (
            "1e-2]}",
            "1e-2]}\n  motion.depth: {int: [3, 4]}\npoints: [{}]",
            "test.yaml:8:10: points[0].motion.depth:",
            ["is missing, and in `base` it is 2"],
        ),
    ],
)
def test_each_mistake(old: str, new: str, start: str, phrases: list[str]) -> None:
    text = MOTION.replace(old, new)
    assert text != MOTION
    lines = complaints(text)
    mine = [line for line in lines if line.startswith(start)]
    assert mine, lines
    assert any(all(phrase in line for phrase in phrases) for line in mine), lines


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
