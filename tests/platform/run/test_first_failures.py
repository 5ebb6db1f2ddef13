"""Studies whose first trials all fail, and failed trials that are started again."""

from collections import Counter
from pathlib import Path

import pytest

from platform.errors import StudyError
from platform.events import Finished
from platform.mlflow_view.mirror import TrialMirror
from platform.record.optuna_journal import OptunaView
from platform.record.trial_record import reduce_events
from platform.run.driver import run_study
from platform.run.first_failures import FirstFailures
from platform.study.plan import make_plan
from platform.study.study import Study
from storage.local import LocalStore
from tests.platform.noop_studies import inline_in, noop_study
from tests.platform.run.test_driver import events, finished, optuna_trials
from trainables.context import StageResult, StageTask
from trainables.stages.noop import run as noop


def failed(reason: str, *, cause: str = "ERROR", outcome: str = "FAILED") -> Finished:
    """Return the end of a trial with an error whose last line is `reason`, or without one."""
    error = f"Traceback (most recent call last):\n  ...\n{reason}" if outcome == "FAILED" else None
    body: dict[str, object] = {
        "outcome": outcome,
        "metrics": {},
        "error": error,
        "seconds": 0.1,
        "runs": {},
        "cause": cause,
    }
    return Finished.read({"trial": "t0000", "sequence": 1, "time": 0.0}, body)


def test_three_that_fail_alike_are_noticed() -> None:
    first = FirstFailures([failed("ValueError: row 7 of /a/t0001"), failed("ValueError: row 9 of /a/t0002")])
    assert first.same is None, "two may be chance"
    first.add(failed("ValueError: row 11 of /a/t0003"))
    assert first.same == "ValueError: row 7 of /a/t0001"


@pytest.mark.parametrize(
    "other",
    [
        failed("KeyError: 'x'"),
        failed("the loss is nan", cause="DIVERGED"),
        failed("", outcome="COMPLETED"),
        failed("", outcome="PRUNED"),
    ],
    ids=["another error", "diverged", "completed", "pruned"],
)
@pytest.mark.parametrize("position", [0, 3])
def test_others_are_a_reason_to_go_on(other: Finished, position: int) -> None:
    ends = [failed("ValueError: same") for _ in range(3)]
    ends.insert(position, other)
    assert FirstFailures(ends).same is None


def broken(folder: Path, base: str) -> Study:
    return noop_study(
        folder, f"sampler: grid\nbase: {{{base}}}", space="space: {noop.value: {choice: [1, 2, 3, 4, 5, 6]}}"
    )


def test_a_study_whose_first_trials_fail_alike_stops_and_says_how_to_go_on(tmp_path: Path) -> None:
    study = broken(tmp_path, "noop.fail_at: 1")
    for _ in range(2):
        with pytest.raises(
            StudyError, match=r"first 3 trials .*stage noop: RuntimeError: noop was asked(.|\n)*--retry-failed"
        ):
            run_study(study, inline_in(tmp_path))
        assert len(finished(study, tmp_path)) == 3
    summary = run_study(study, inline_in(tmp_path, keep_going=True))
    assert (summary.trials["failed"], summary.trials["unfinished"], summary.exit_code) == (6, 0, 1)


def test_a_study_that_ends_with_such_trials_has_just_failed(tmp_path: Path) -> None:
    study = noop_study(
        tmp_path, "sampler: grid\nbase: {noop.fail_at: 1}", space="space: {noop.value: {choice: [1, 2, 3]}}"
    )
    assert run_study(study, inline_in(tmp_path)).trials["failed"] == 3


def fails_for_some(task: StageTask) -> StageResult:
    if task.config.noop.value in (2, 3):
        raise ValueError("the cause that is mended later")
    return noop(task)


def test_failed_trials_are_started_again_if_the_user_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the cause were mended between the two calls: a stage that fails, and then does not."""
    study = noop_study(tmp_path, "sampler: grid", space="space: {noop.value: {choice: [1, 2, 3, 4]}}")
    with monkeypatch.context() as patch:
        patch.setattr("trainables.stages.noop.run", fails_for_some)
        summary = run_study(study, inline_in(tmp_path), views=lambda: [OptunaView(study, home=tmp_path)])
    assert summary.trials == {"completed": 2, "pruned": 0, "failed": 2, "unfinished": 0}
    store = LocalStore(tmp_path / "store")
    assert (make_plan(study, store).ended, make_plan(study, store, retry_failed=True).ended) == (4, 2)
    assert run_study(study, inline_in(tmp_path)).trials["failed"] == 2, "without the option they stay"
    again = inline_in(tmp_path, retry_failed=True)
    assert run_study(study, again, views=lambda: [OptunaView(study, home=tmp_path)]).trials["completed"] == 4
    record = reduce_events(events(study, tmp_path))["t0001"]
    assert (record.outcome, record.attempts) == ("COMPLETED", 2)
    states = Counter((trial.user_attrs["point"], trial.state.name) for trial in optuna_trials(study, tmp_path))
    assert states == {
        (0, "COMPLETE"): 1,
        (1, "FAIL"): 1,
        (1, "COMPLETE"): 1,
        (2, "FAIL"): 1,
        (2, "COMPLETE"): 1,
        (3, "COMPLETE"): 1,
    }
    entries = TrialMirror("t0001").entries(event for event in events(study, tmp_path) if event.trial == "t0001")
    assert (entries.tags["outcome"], entries.tags["error"], entries.status) == ("completed", "", "FINISHED")
