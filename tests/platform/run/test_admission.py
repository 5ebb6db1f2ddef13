"""What a trial needs, what a cluster holds, and what is refused, with the numbers."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.run.admission import (
    Grant,
    Need,
    Node,
    admit,
    need_of,
    refuse_here,
    share_out,
    shared_resources,
    trial_need,
    worker_capacity,
)
from platform.study.ablation_file import load_ablation
from platform.study.sweep_file import load_study
from platform.sweep import main
from tests.platform.noop_studies import noop_study, options_in
from trainables.config.trial import resolve

ABLATIONS = Path(__file__).resolve().parents[3] / "ablations"
ONE, TWO = Need(), Need(2, "motion", whole_gpus=True)


def nodes(*shapes: tuple[int, int]) -> list[Node]:
    return [Node(f"n{number}", cpus, gpus) for number, (cpus, gpus) in enumerate(shapes)]


@pytest.mark.parametrize(
    ("need", "cluster", "most", "granted"),
    [
        (ONE, nodes((2, 0)), None, Grant(concurrent=2, gpus=0.0)),
        (ONE, nodes((2, 0)), 1, Grant(concurrent=1, gpus=0.0)),
        (ONE, nodes((2, 0)), 9, Grant(concurrent=2, gpus=0.0)),
        (ONE, nodes((16, 2)), None, Grant(concurrent=2, gpus=1.0)),
        (ONE, nodes((16, 2)), 1, Grant(concurrent=1, gpus=1.0)),
        # Four on three GPUs are two on one of them, not 0.75 of a GPU each, of which three GPUs hold three.
        (ONE, nodes((16, 3)), 4, Grant(concurrent=4, gpus=0.5)),
        (ONE, nodes((16, 1)), 3, Grant(concurrent=3, gpus=0.3333)),
        (ONE, nodes((8, 0), (2, 1)), None, Grant(concurrent=1, gpus=1.0)),
        (TWO, nodes((2, 0)), None, Grant(concurrent=1, gpus=0.0, workers=2)),
        (TWO, nodes((1, 0), (1, 0)), None, Grant(concurrent=1, gpus=0.0, workers=2)),
        (TWO, nodes((5, 0)), None, Grant(concurrent=2, gpus=0.0, workers=2)),
        (TWO, nodes((16, 5)), None, Grant(concurrent=2, gpus=1.0, workers=2)),
        (TWO, nodes((16, 5)), 1, Grant(concurrent=1, gpus=1.0, workers=2)),
        (Need(2, "motion"), nodes((8, 0), (1, 1)), None, Grant(concurrent=4, gpus=0.0, workers=2)),
        (Need(2, "motion"), nodes((16, 1)), None, Grant(concurrent=1, gpus=0.5, workers=2)),
        (Need(4, "motion", min_workers=1), nodes((3, 0)), None, Grant(concurrent=1, gpus=0.0, workers=3)),
        (Need(4, "motion", min_workers=1), nodes((1, 0)), None, Grant(concurrent=1, gpus=0.0, workers=1)),
        (Need(4, "motion", min_workers=2), nodes((9, 0)), None, Grant(concurrent=2, gpus=0.0, workers=4)),
        (
            Need(4, "motion", whole_gpus=True, min_workers=2),
            nodes((16, 3)),
            None,
            Grant(concurrent=1, gpus=1.0, workers=3),
        ),
    ],
)
def test_what_is_granted_fits(need: Need, cluster: list[Node], most: int | None, granted: Grant) -> None:
    assert admit(need, cluster, most) == granted
    held = granted.concurrent * granted.workers
    assert held <= sum(node.cpus for node in cluster)
    assert held * granted.gpus <= sum(node.gpus for node in cluster)


def test_what_can_never_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        UserError, match=r"needs 4 CPUs \(1 for each .* by motion.train.workers\).* has 3 \(n0: 2, n1: 1"
    ):
        admit(Need(4, "motion"), nodes((2, 0), (1, 0)))
    with pytest.raises(UserError, match=r"needs 2 GPUs .* has 1 \(n0: 1\); set motion.train.workers to at most 1.*cpu"):
        admit(TWO, nodes((16, 1)))
    with pytest.raises(UserError, match=r"needs 2 CPUs .* has 1"):
        admit(Need(4, "motion", min_workers=2), nodes((1, 0)))


def test_only_stages_that_trials_run_themselves_are_reserved_for(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    space = "target: motion.rollout_mse\nsampler: grid\nspace: {motion.depth: {int: [1, 2]}}\n"
    for stage, workers in (("motion", 2), ("structure", 1)):
        path.write_text(f"{space}base: {{{stage}.train.workers: 2}}")
        assert share_out(load_study(path), nodes((4, 0))).workers == workers
    with pytest.raises(UserError, match=r"needs 2 CPUs .*by structure.train.workers"):
        share_out(load_study(path), nodes((1, 0)))


def test_a_range_is_as_many_as_there_is_room_for_but_no_fewer_than_another_stage_needs(tmp_path: Path) -> None:
    path = tmp_path / "range.yaml"
    space = "target: motion.rollout_mse\nsampler: grid\nspace: {structure.hidden: {choice: [8, 16]}}\n"
    path.write_text(f"{space}base: {{motion.train.workers: 1..4, structure.train.workers: 2}}")
    study = load_study(path)
    assert trial_need(study) == Need(4, "motion", whole_gpus=True, min_workers=2)
    assert [share_out(study, nodes((cpus, 0))).workers for cpus in (2, 3, 9)] == [2, 3, 4]
    with pytest.raises(UserError, match=r"needs 2 CPUs .*by structure.train.workers"):
        share_out(study, nodes((1, 0)))


@pytest.mark.parametrize("field", ["motion", "structure"])
def test_a_stage_that_always_uses_ray_train_needs_a_coordinator(tmp_path: Path, field: str) -> None:
    path = tmp_path / "always.yaml"
    space = "target: motion.rollout_mse\nsampler: grid\nspace: {structure.hidden: {choice: [8, 16]}}\n"
    path.write_text(f"{space}base: {{{field}.train.use_ray_train: always}}")
    need = trial_need(load_study(path))
    assert (need.workers, need.always_ray_train, need.has_coordinator) == (1, True, True)
    assert admit(need, nodes((2, 0))) == Grant(concurrent=2, gpus=0.0)
    path.write_text(f"{space}base: {{}}")
    assert not trial_need(load_study(path)).has_coordinator


@pytest.mark.parametrize(("grant", "cluster", "workers"), [
    (Grant(1, 0.0), nodes((2, 0), (1, 4)), 3),
    (Grant(1, 1.0), nodes((2, 0), (1, 4), (9, 2)), 3),
    (Grant(1, 0.3333), nodes((9, 1)), 3),
    (Grant(1, 0.5, workers=2), [], 0),
])  # fmt: skip
def test_what_nodes_hold(grant: Grant, cluster: list[Node], workers: int) -> None:
    assert worker_capacity(grant, cluster) == workers


def test_what_computes_on_no_gpu_leaves_the_gpus_to_others(tmp_path: Path) -> None:
    path = tmp_path / "cpu.yaml"
    space = "target: semantic.loss\nsampler: grid\nspace: {semantic.hidden: {choice: [8, 16]}}\nbase: "
    for device, granted in (("auto", Grant(concurrent=2, gpus=1.0)), ("cpu", Grant(concurrent=16, gpus=0.0))):
        path.write_text(f"{space}{{semantic.train.device: {device}}}")
        assert share_out(load_study(path), nodes((16, 2))) == granted
    path.write_text(f"{space}{{semantic.train.device: cpu, semantic.train.workers: 4}}")
    assert share_out(load_study(path), nodes((16, 2))) == Grant(concurrent=4, gpus=0.0, workers=4)


@pytest.mark.parametrize(
    ("stage", "trials", "cluster", "resources"),
    [
        ("data", Grant(2, 1.0), nodes((16, 2)), (1, 0.0)),
        ("features", Grant(2, 1.0), nodes((16, 2)), (2, 1.0)),
        ("features", Grant(4, 0.5), nodes((16, 2)), (2, 0.5)),
        ("features", Grant(9, 0.0), nodes((9, 0)), (2, 0.0)),
        ("features", Grant(16, 0.0), nodes((16, 1)), (2, 1.0)),  # the trials compute on no GPU
        ("features", Grant(1, 1.0), nodes((1, 1), (8, 0)), (1, 1.0)),  # no node has two CPUs and a GPU
        ("clips", Grant(1, 1.0), nodes((1, 1), (8, 0)), (1, 0.0)),
    ],
)
def test_a_shared_stage_run_asks_for_what_one_node_has(
    stage: str, trials: Grant, cluster: list[Node], resources: tuple[int, float]
) -> None:
    assert shared_resources(need_of(resolve({}), stage), trials, cluster) == resources


def test_of_an_ablation_every_condition_counts() -> None:
    study = load_ablation(ABLATIONS / "table6.yaml", ["motion.train.workers=2"])
    assert share_out(study, nodes((4, 0))).workers == 2
    assert share_out(load_ablation(ABLATIONS / "table6.yaml"), nodes((4, 0))).workers == 1


def test_a_dry_run_refuses_what_this_machine_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = noop_study(tmp_path, "base: {noop.workers: 1000}\ntrials: 2")
    refuse_here(study, options_in(tmp_path, address="auto"))
    assert main([study.path, "--dry-run", "--home", str(tmp_path)]) == 2
    assert "a trial needs 1000 CPUs" in " ".join(capsys.readouterr().err.split())
