"""Outcome constraints: what a file may say, which points they leave, and what samplers learn of them."""

import math
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from platform.record.optuna_journal import OptunaView
from platform.record.optuna_study import quiet
from platform.record.results import Result, best_so_far, ranked
from platform.study.outcome_constraints import Bound, OutcomeConstraint
from platform.study.study import Study
from tests.platform.noop_studies import dispatcher, noop_study, play
from tests.platform.study_texts import NOOP, build, complaints
from trainables.metrics.registry import METRICS

MSE, TOP1 = METRICS["motion.rollout_mse"], METRICS["semantic.retrieval_image_top1"]
MOTION = """\
target: motion.rollout_mse
trials: 4
space: {motion.train.lr: {log_uniform: [1e-4, 1e-2]}, motion.depth: {int: [1, 3]}}
"""


def constraint(**bound: float) -> OutcomeConstraint:
    return OutcomeConstraint(TOP1, Bound(**bound))


@pytest.mark.parametrize(
    ("bound", "value", "excess", "text"),
    [
        ({"at_least": 0.5}, 0.25, 0.25, "semantic.retrieval_image_top1 >= 0.5"),
        ({"at_least": 0.5}, 0.75, -0.25, "semantic.retrieval_image_top1 >= 0.5"),
        ({"at_most": 0.5}, 0.5, 0.0, "semantic.retrieval_image_top1 <= 0.5"),
        ({"at_least": 0.25, "at_most": 0.5}, 0.75, 0.25, "0.25 <= semantic.retrieval_image_top1 <= 0.5"),
        ({"at_least": 0.25, "at_most": 0.5}, 0.375, -0.125, "0.25 <= semantic.retrieval_image_top1 <= 0.5"),
        ({"at_least": 0.25, "at_most": 0.5}, math.nan, math.inf, "0.25 <= semantic.retrieval_image_top1 <= 0.5"),
    ],
)
def test_the_excess_over_a_bound(bound: dict[str, float], value: float, excess: float, text: str) -> None:
    assert constraint(**bound).excess({TOP1.name: value}) == excess
    assert constraint(**bound).text == text


def test_a_metric_that_was_not_measured_violates_its_bound() -> None:
    assert constraint(at_most=1.0).excess({}) == math.inf


def result(trial: str, mse: float, top1: float, *, finished: float = 0.0) -> Result:
    metrics = {MSE.name: mse, TOP1.name: top1}
    return Result(trial, point=int(trial[1:]), outcome="COMPLETED", metrics=metrics, finished=finished)


def test_points_that_violate_a_constraint_come_last() -> None:
    results = [result("t1", 0.1, 0.2), result("t2", 0.4, 0.9), result("t3", 0.2, 0.1), result("t4", 0.3, 0.8)]
    order = ranked(results, [MSE], [constraint(at_least=0.5)])
    assert [each.trial for each in order] == ["t4", "t2", "t1", "t3"]
    assert [each.trial for each in ranked(results, [MSE])] == ["t1", "t3", "t4", "t2"]


def test_the_front_is_that_of_the_allowed_points() -> None:
    results = [result("t1", 0.1, 0.2), result("t2", 0.4, 0.9), result("t3", 0.3, 0.6)]
    order = ranked(results, [MSE, TOP1], [constraint(at_least=0.5)])
    assert [each.trial for each in order] == ["t3", "t2", "t1"]


def test_a_point_that_violates_a_constraint_counts_but_is_never_the_best_so_far() -> None:
    results = [result(f"t{n}", mse, top1, finished=n) for n, (mse, top1) in enumerate([(0.1, 0.2), (0.4, 0.9)])]
    assert best_so_far(results, MSE, [constraint(at_least=0.5)]) == [(2, 1.0, 0.4)]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ("{noop.valeu: {at_most: 0.5}}", "there is no metric 'noop.valeu'; did you mean noop.value?"),
        ("{noop.value: {at_mst: 0.5}}", "did you mean at_most or at_least?"),
        ("{noop.value: {}}", "names no bound; set at_most or at_least"),
        ("{noop.value: {at_most: 0.1, at_least: 0.2}}", "allows no value: at_least 0.2 is above at_most 0.1"),
        ("{noop.value: 0.5}", "must be a mapping"),
        ("[noop.value]", "must be a mapping"),
        ("{motion.rollout_mse: {at_most: 1}}", "not measured: the targets do not need the stage motion"),
    ],
)
def test_a_wrong_constraint_is_refused(bounds: str, message: str) -> None:
    assert message in "\n".join(complaints(f"{NOOP}outcome_constraints: {bounds}\n"))


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("{at_least: 1.5}", "no point can satisfy it"),
        ("{at_least: 0}", "every point satisfies it: values of"),
    ],
)
def test_a_bound_that_decides_nothing_is_refused(bound: str, message: str) -> None:
    text = MOTION.replace("motion.rollout_mse", "semantic.retrieval_image_top1").replace(
        "motion.depth", "semantic.hidden"
    )
    text = text.replace("motion.train", "semantic.train").replace("[1, 3]", "[64, 128]")
    lines = complaints(f"{text}outcome_constraints: {{semantic.retrieval_image_top1: {bound}}}\n")
    assert message in "\n".join(lines)


def test_a_bound_on_a_metric_whose_scale_varies_is_refused() -> None:
    text = MOTION.replace("motion.depth: {int: [1, 3]}", "motion.mask_refresh: {choice: [step, run]}")
    lines = complaints(f"{text}outcome_constraints: {{motion.loss: {{at_most: 1}}}}\n")
    assert "on which its scale depends; bound another metric" in "\n".join(lines)


def test_early_stopping_and_samplers_that_ignore_constraints_are_refused() -> None:
    text = f"{MOTION}outcome_constraints: {{motion.rollout_mse: {{at_most: 1}}}}\n"
    assert "asha stops trials by the target alone" in complaints(f"{text}scheduler: asha\n")[0]
    assert "cmaes ignores outcome_constraints; use one of: tpe," in complaints(f"{text}sampler: cmaes\n")[0]


def test_constraints_are_part_of_the_definition_only_where_there_are_some() -> None:
    bound = build(f"{NOOP}outcome_constraints: {{noop.value: {{at_most: 0.5}}}}\n")
    assert bound.id != build(NOOP).id
    assert "outcome_constraints" not in build(NOOP).definition
    assert bound.headline()["must hold"] == "noop.value <= 0.5"
    assert build(NOOP, "outcome_constraints={noop.value: {at_most: 0.5}}").id == bound.id


def violations(study: Study, folder: Path) -> int:
    """Return how many of the last 20 of 50 points lie within .45 of .3, the best value without the constraint."""
    running, _ = dispatcher(study, [], folder)
    values = [trial["value"] for trial in play(running, 50)]
    return sum((value - 0.3) ** 2 < 0.2 for value in values[-20:])


def test_a_sampler_keeps_to_the_allowed_points(tmp_path: Path) -> None:
    bound = "outcome_constraints: {noop.value: {at_least: 0.2}}"
    free, bounded = (
        noop_study(tmp_path, f"trials: 50\nsampler: tpe\n{more}", name=name)
        for name, more in (("free", ""), ("bounded", bound))
    )
    assert violations(free, tmp_path) >= 16  # at random 15 of 20 would
    assert violations(bounded, tmp_path) <= 11


def test_a_search_stops_only_at_a_target_that_satisfies_the_constraints(tmp_path: Path) -> None:
    text = "sampler: random\ntrials: 3\npoints: [{noop.value: 0.3}, {noop.value: 0.9}]\nstop: {target: 0.2}"
    study = noop_study(tmp_path, f"{text}\noutcome_constraints: {{noop.value: {{at_least: 0.3}}}}")
    running, _ = dispatcher(study, [], tmp_path)
    assert len(list(play(running, 3))) == 3
    free = noop_study(tmp_path, text, name="free")
    running, _ = dispatcher(free, [], tmp_path)
    assert len(list(play(running, 3))) == 1


def test_optuna_is_told_the_excess_with_the_result(tmp_path: Path) -> None:
    text = "trials: 2\nsampler: random\npoints: [{noop.value: 0.3}, {noop.value: 0.9}]"
    study = noop_study(tmp_path, f"{text}\noutcome_constraints: {{noop.value: {{at_least: 0.25}}}}")
    running, heard = dispatcher(study, [], tmp_path)
    list(play(running, 2))
    view = OptunaView(study, home=tmp_path)
    for event in heard.events:
        view.see(event)
    path = str(tmp_path / "optuna" / f"{study.id}.log")
    with quiet():
        kept = optuna.load_study(study_name=study.id, storage=JournalStorage(JournalFileBackend(path)))
        assert [trial.constraints for trial in kept.trials] == [
            {"noop.value": 0.25},
            {"noop.value": pytest.approx(-0.11)},
        ]
        assert kept.best_trial.params == {"noop.value": 0.9}
