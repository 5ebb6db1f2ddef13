"""What is proposed next follows from the study and its history alone, whether or not the driver was restarted."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from platform.errors import UserError
from platform.record.trial_log import PointResult
from platform.run.proposer import Proposer
from platform.study.study import Study
from tests.platform.noop_studies import dispatcher, noop_study, play

TWO = "space: {noop.value: {uniform: [0.0, 1.0]}, noop.epochs: {int: [1, 50]}}"


def completed(point: int, values: Any, value: float) -> PointResult:
    return PointResult(point, values, "COMPLETED", (value,), {1: value})


def drain(study: Study) -> tuple[list[dict[str, Any]], Proposer]:
    proposer = Proposer(study)
    proposed = []
    while (proposal := proposer.ask()) is not None:
        proposed.append(dict(proposal.values))
        value = float(proposal.values.get("noop.value", 0.0))
        proposer.tell(completed(proposal.point, proposal.values, (value - 0.3) ** 2))
    return proposed, proposer


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", pytest.param("gp", marks=pytest.mark.long), "nsga2"])
def test_a_resumed_study_proposes_what_an_uninterrupted_one_would(sampler: str, tmp_path: Path) -> None:
    study = noop_study(tmp_path, f"trials: 15\nsampler: {sampler}\nseed: 3", space=TWO)
    whole, _ = dispatcher(study, [], tmp_path)
    expected = list(play(whole, 15))
    assert len(expected) == 15
    first, heard = dispatcher(study, [], tmp_path)
    got = list(play(first, 12))
    second, more = dispatcher(study, heard.events, tmp_path)
    got += list(play(second, 15))
    assert got == expected
    assert [event.kind for event in more.events].count("proposed") == 3


def test_an_interrupted_trial_is_handed_out_again_first_and_is_not_proposed_twice(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 5")
    first, heard = dispatcher(study, [], tmp_path)
    list(play(first, 2))
    spec = first.next()
    assert spec is not None
    second, more = dispatcher(study, heard.events, tmp_path)
    again = second.next()
    assert again == spec
    assert more.events == []
    second.started(spec.trial)
    assert more.events[-1].sequence == 1


def test_points_to_try_come_first_and_nothing_is_proposed_twice(tmp_path: Path) -> None:
    study = noop_study(
        tmp_path,
        "trials: 6\npoints: [{noop.epochs: 3}, {noop.epochs: 6}]",
        space="space: {noop.epochs: {int: [1, 6]}}",
    )
    proposed, proposer = drain(study)
    assert [point["noop.epochs"] for point in proposed[:2]] == [3, 6]
    assert sorted(point["noop.epochs"] for point in proposed) == [1, 2, 3, 4, 5, 6]
    assert proposer.exhausted is None


def test_a_space_that_is_exhausted_ends_the_study_with_a_reason(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 9", space="space: {noop.epochs: {int: [1, 4]}}")
    proposed, proposer = drain(study)
    assert sorted(point["noop.epochs"] for point in proposed) == [1, 2, 3, 4]
    assert proposer.exhausted is not None
    assert "4 different points" in proposer.exhausted


def test_constraints_that_fail_later_end_the_study_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposer = Proposer(noop_study(tmp_path, "trials: 3"))
    assert proposer.ask() is not None
    monkeypatch.setattr("platform.study.space.Space.violated", lambda space, values: "noop.value == 0.5")
    assert proposer.ask() is None
    assert proposer.exhausted is not None
    assert "no point beyond the first 1 satisfies the constraints" in proposer.exhausted


def test_a_grid_is_tried_as_a_whole(tmp_path: Path) -> None:
    space = "space: {noop.epochs: {choice: [1, 2, 5]}, noop.value: {uniform: [0.0, 1.0], step: 0.5}}"
    proposed, _ = drain(noop_study(tmp_path, "sampler: grid", space=space))
    pairs = {(point["noop.epochs"], point["noop.value"]) for point in proposed}
    assert pairs == {(epochs, value) for epochs in (1, 2, 5) for value in (0.0, 0.5, 1.0)}
    assert len(proposed) == 9


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_constraints_hold_for_all_that_is_proposed(sampler: str, tmp_path: Path) -> None:
    text = f"trials: 12\nsampler: {sampler}\nconstraints: ['noop.epochs < 5']"
    proposed, _ = drain(noop_study(tmp_path, text, space=TWO))
    assert len(proposed) == 12
    assert all(point["noop.epochs"] < 5 for point in proposed)


def test_constraints_that_nothing_satisfies_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = noop_study(tmp_path, "trials: 3", space=TWO)
    monkeypatch.setattr(type(study.space), "violated", lambda space, values: "noop.epochs > 60")
    with pytest.raises(UserError, match=r"noop\.epochs > 60"):
        Proposer(study).ask()


def test_pruned_and_failed_points_are_told_as_such(tmp_path: Path) -> None:
    proposer = Proposer(noop_study(tmp_path, "trials: 3"))
    proposals = [proposer.ask() for _ in range(3)]
    assert all(proposals)
    proposer.tell(PointResult(0, {}, "PRUNED", (), {1: 0.9, 3: 0.7}))
    proposer.tell(PointResult(1, {}, "FAILED", (), {}))
    proposer.tell(completed(2, {}, 0.2))
    pruned, failed, done = proposer._optuna.trials
    assert (pruned.state, pruned.last_step, pruned.value) == (optuna.trial.TrialState.PRUNED, 3, 0.7)
    assert failed.state == optuna.trial.TrialState.FAIL
    assert (done.state, done.value) == (optuna.trial.TrialState.COMPLETE, 0.2)


def test_tpe_learns_where_the_values_are_good(tmp_path: Path) -> None:
    proposed, _ = drain(noop_study(tmp_path, "trials: 40"))
    near = [abs(point["noop.value"] - 0.3) for point in proposed]
    assert sum(near[25:]) / 15 < 0.7 * sum(near[:10]) / 10
