"""What events add up to: results, means over repeats, rankings."""

import math
from dataclasses import replace

import pytest

from platform.mlflow_view.summary import first_repeat
from platform.record.results import (
    Result,
    averaged,
    best_so_far,
    controls,
    outcomes,
    pareto,
    ranked,
    results_from_events,
)
from tests.platform.made_up_study import rollout_mse, study_events, trial_events
from trainables.metrics.registry import METRICS

MSE, TOP1 = METRICS["motion.rollout_mse"], METRICS["semantic.retrieval_image_top1"]


def result(trial: str, value: float, *, point: int = 0, outcome: str = "COMPLETED", other: float = 0.0) -> Result:
    metrics = {MSE.name: value, TOP1.name: other}
    return Result(trial, point=point, outcome=outcome, metrics=metrics, finished=float(trial[1:]))  # type: ignore[arg-type]


def test_collect_reads_values_outcome_and_identities() -> None:
    first, *_ = results_from_events(study_events(trials=3, pruned=0, failed=0))
    assert (first.trial, first.point, first.outcome, first.seconds) == ("t0000", 0, "COMPLETED", 27.0)
    assert first.value(MSE) == rollout_mse(first.values)
    assert first.identities["structure"] == "structure-0000000000000007"


def test_a_trial_started_again_is_unfinished() -> None:
    events = list(trial_events(0, outcome="FAILED"))
    assert results_from_events(events)[0].outcome == "FAILED"
    assert results_from_events([*events, replace(events[1], sequence=len(events))])[0].outcome is None


def test_pruned_failed_and_not_finite_trials_have_no_value() -> None:
    assert result("t1", 0.5, outcome="PRUNED").value(MSE) is None
    assert result("t1", math.nan).value(MSE) is None
    assert result("t1", math.inf).value(MSE) is None


@pytest.mark.parametrize("outcome", ["FAILED", "PRUNED", None])
def test_a_point_counts_only_when_all_its_repeats_completed(outcome: str) -> None:
    whole = averaged([result("t1", 1.0), result("t2", 3.0)])[0]
    assert (whole.value(MSE), whole.repeats, whole.finished) == (2.0, 2, 2.0)
    assert averaged([result("t1", 1.0), result("t2", 3.0, outcome=outcome)])[0].outcome == outcome


def test_a_mean_of_repeats_has_the_name_of_its_point_and_the_first_repeat_stands_for_it() -> None:
    repeats = [
        replace(result("t0", value), trial=f"t0007-s{number}", point=7, repeat=number)
        for number, value in enumerate((3.0, 1.0, 2.0))
    ]
    (point,) = averaged(repeats)
    assert (point.label, repeats[1].label) == ("t0007, mean of 3 seeds", "t0007-s1")
    assert first_repeat(repeats, point).trial == "t0007-s0", "not the luckiest seed"


def test_ranking_follows_the_goal() -> None:
    results = [result("t1", 0.5, other=0.2), result("t2", 0.1, other=0.1), result("t3", 0.9, other=0.9)]
    assert [r.trial for r in ranked(results, [MSE])] == ["t2", "t1", "t3"]
    assert [r.trial for r in ranked(results, [TOP1])] == ["t3", "t1", "t2"]


def test_pareto_front_comes_first() -> None:
    results = [result("t1", 0.1, other=0.1), result("t2", 0.2, other=0.05), result("t3", 0.3, other=0.9)]
    assert {r.trial for r in pareto(results, [MSE, TOP1])} == {"t1", "t3"}
    assert [r.trial for r in ranked(results, [MSE, TOP1])] == ["t1", "t3", "t2"]
    twins = [result("t1", 0.1), result("t2", 0.1)]
    assert len(pareto(twins, [MSE, TOP1])) == 2, "equal points do not beat each other"


def test_best_so_far_counts_every_ended_trial_in_order_of_time() -> None:
    results = [result("t3", 0.1), result("t1", 0.5), result("t2", 0.0, outcome="FAILED"), result("t4", 0.3)]
    assert best_so_far(results, MSE) == [(1, 1.0, 0.5), (2, 2.0, 0.5), (3, 3.0, 0.1), (4, 4.0, 0.1)]


def test_controls_of_a_metric_and_chance_of_retrieval() -> None:
    metrics = {"motion.rollout_mse": 1.0, "motion.rollout_mse_static": 2.0, "motion.rollout_mse_mean": 3.0}
    assert controls(Result("t1", metrics=metrics), MSE) == {"static": 2.0, "mean": 3.0}
    metrics = {TOP1.name: 0.3, "semantic.retrieval_image_top10": 0.9, "semantic.retrieval_chance_top1": 0.01}
    assert controls(Result("t1", metrics=metrics), TOP1) == {"chance": 0.01}
    large = METRICS["semantic.retrieval_text_large_top100"]
    metrics = {large.name: 0.3, "semantic.retrieval_chance_large_top100": 0.05}
    assert controls(Result("t1", metrics=metrics), large) == {"chance": 0.05}


def test_a_metric_whose_name_goes_on_is_no_control() -> None:
    names = ("hue_cos", "hue_cos_static", "hue_cos_legacy", "hue_cos_legacy_static")
    metrics = {f"evaluate.{name}": float(i) for i, name in enumerate(names)}
    assert controls(Result("t1", metrics=metrics), METRICS["evaluate.hue_cos"]) == {"static": 1.0}


def test_outcomes_are_counted() -> None:
    counts = outcomes(results_from_events(study_events()))
    assert counts == {"completed": 9, "pruned": 2, "failed": 1, "unfinished": 0}
