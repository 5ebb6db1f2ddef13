"""Every mistake in a search-space file is answered with its line, its key and what would be right."""

import pytest

from tests.platform.study_texts import MOTION, complaints


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
