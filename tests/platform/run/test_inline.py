"""Studies in one process: without Ray, with the records that Ray with one slot leaves, and open to a debugger."""

import logging
import os
import signal
import subprocess
from bdb import BdbQuit
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform.cli import add_running, options_of, verb_parser
from platform.errors import StudyError, UserError
from platform.events import Finished, TrialEvent
from platform.record.results import Result, results_from_events
from platform.record.trial_log import Summary
from platform.run.driver import run_study
from platform.study.domains import Choice
from platform.study.space import Space
from platform.study.study import Study
from storage import layout
from storage.events import EventLog
from storage.runs import read_manifest
from storage.uri import open_store
from tests.platform.noop_studies import noop_study, options_in
from tests.programs import ROOT, program
from trainables.context import StageResult, StageTask
from trainables.stages.noop import run as usual_run

CURVES = "base: {noop.epochs: 4}\ntrials: 8\nscheduler: %s"
SCHEDULERS = ("fifo", "{asha: {grace_epochs: 1, reduction_factor: 2}}", "{median: {min_trials: 1}}")


def inline(study: Study, home: Path, **changed: Any) -> Summary:
    return run_study(study, options_in(home, inline=True, max_concurrent=None, **changed))


def events(study: Study, home: Path) -> list[TrialEvent]:
    return [TrialEvent.from_json(value) for value in EventLog(open_store((home / "store").as_uri()), study.id).read()]


def artifacts(home: Path) -> dict[str, Any]:
    """Return the files of all stage runs with their digests."""
    store = open_store((home / "store").as_uri())
    return {
        key: read_manifest(store, key).files for key in store.list(layout.stages()) if key.endswith("manifest.json")
    }


def outcome(result: Result) -> tuple[Any, ...]:
    """Return all of a result that does not depend on when it was run."""
    return result.trial, result.point, result.values, result.outcome, result.metrics, result.identities


def test_a_study_runs_without_ray(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "target: noop.value\nspace: {noop.value: {uniform: [0.0, 1.0]}}\ntrials: 2\nrepeats: 2\n", encoding="utf-8"
    )
    done = subprocess.run(program("inline_study", tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["completed 4", "ray loaded: False"]


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_it_leaves_what_ray_with_one_slot_leaves(tmp_path: Path, scheduler: str) -> None:
    study = noop_study(tmp_path, CURVES % scheduler)
    homes = tmp_path / "inline", tmp_path / "ray"
    inline(study, homes[0])
    run_study(study, options_in(homes[1], max_concurrent=1))
    here, there = ([outcome(result) for result in results_from_events(events(study, home))] for home in homes)
    assert here == there
    assert scheduler == "fifo" or any(result[3] == "PRUNED" for result in here)
    assert artifacts(homes[0]) == artifacts(homes[1]) != {}


@pytest.mark.parametrize("text", [CURVES % SCHEDULERS[1], "base: {noop.epochs: 4, noop.fail_at: 3}\ntrials: 2"])
def test_nothing_is_left_of_what_ended_trials_had_begun(tmp_path: Path, text: str) -> None:
    study = noop_study(tmp_path, text)
    summary = inline(study, tmp_path)
    assert summary.trials["pruned"] + summary.trials["failed"] > 0
    assert list(open_store((tmp_path / "store").as_uri()).list(layout.all_checkpoints())) == []
    assert not (tmp_path / "scratch").exists() or [path.name for path in (tmp_path / "scratch").iterdir()] in (
        [],
        ["cache"],
    )


class Remarks:
    """A view that keeps what is remarked, and the events."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.events: list[TrialEvent] = []

    def see(self, event: TrialEvent) -> None:
        self.events.append(event)

    def shared(self, stage: str, identity: str, state: str) -> None:
        pass

    def remark(self, text: str) -> None:
        self.texts.append(text)

    def close(self) -> None:
        pass


def test_warnings_of_shared_stage_runs_are_shown_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warns(task: StageTask) -> StageResult:
        logging.getLogger("trainables.stages.noop").warning("12 captions are one")
        return usual_run(task)

    monkeypatch.setattr("trainables.stages.noop.run", warns)
    usual = noop_study(tmp_path, "sampler: grid\ntrials: 2", space="space: {noop.epochs: {int: [1, 2]}}")
    study = replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2))}, base={"noop.epochs": 1}))
    first, again = Remarks(), Remarks()
    options = options_in(tmp_path, inline=True, max_concurrent=None)
    run_study(study, options, views=lambda: [first])
    assert first.texts == ["warning: noop: 12 captions are one"]
    ends = [event for event in first.events if isinstance(event, Finished)]
    assert [list(end.warnings) for end in ends] == [["noop: 12 captions are one"]] * 2
    monkeypatch.setattr("trainables.execute.code_facts", lambda: {"code": "another"})
    other_study = noop_study(
        tmp_path, "sampler: grid\ntrials: 2", space="space: {noop.epochs: {int: [1, 2]}}", name="other"
    )
    run_study(replace(other_study, space=study.space), options, views=lambda: [again])
    warning, other = again.texts
    assert warning == first.texts[0]
    assert other.startswith("noop (noop-")
    assert other.endswith("this is code another")


def test_a_failed_trial_is_recorded_and_shows_its_own_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = noop_study(tmp_path, "base: {noop.epochs: 3, noop.fail_at: 2}\ntrials: 2")
    assert inline(study, tmp_path).trials == {"completed": 0, "pruned": 0, "failed": 2, "unfinished": 0}
    assert "trainables/stages/noop.py" in caplog.text
    assert "RuntimeError: noop was asked to fail at epoch 2" in caplog.text


def test_ctrl_c_stops_at_an_epoch_and_the_same_call_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = noop_study(tmp_path, "base: {noop.epochs: 3}\ntrials: 3")

    class Once:
        asked = False

        def see(self, event: TrialEvent) -> None:
            if event.kind == "started" and not self.asked:
                self.asked = True
                os.kill(os.getpid(), signal.SIGINT)

        def close(self) -> None:
            pass

    first = run_study(study, options_in(tmp_path, inline=True, max_concurrent=None), views=lambda: [Once()])
    assert first.interrupted
    assert first.trials["completed"] < 3
    assert capfd.readouterr().err.count("stopping: running work goes on to a safe point") == 1
    again = inline(study, tmp_path)
    assert again.trials == {"completed": 3, "pruned": 0, "failed": 0, "unfinished": 0}
    assert not again.interrupted


def test_quitting_the_debugger_stops_like_ctrl_c_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = noop_study(tmp_path, "trials: 2")
    with monkeypatch.context() as patch:
        patch.setattr("trainables.stages.noop.run", _quits_the_debugger)
        first = inline(study, tmp_path)
    assert first.interrupted
    assert first.trials == {"completed": 0, "pruned": 0, "failed": 0, "unfinished": 1}, "one of two was proposed"
    assert inline(study, tmp_path).trials == {"completed": 2, "pruned": 0, "failed": 0, "unfinished": 0}


def _quits_the_debugger(task: StageTask) -> StageResult:
    raise BdbQuit


def test_a_shared_stage_that_fails_ends_the_study_with_its_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = noop_study(tmp_path, "sampler: grid\ntrials: 4", space="space: {noop.epochs: {int: [1, 4]}}")
    study = replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2, 3, 4))}, base={"noop.fail_at": 1}))
    with pytest.raises(
        StudyError, match=r"stage noop .*which all trials need, failed: RuntimeError: .*fail at epoch 1"
    ):
        inline(study, tmp_path)
    assert "trainables/stages/noop.py" in caplog.text, "the traceback of the stage, before the sentence"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stage_deadline": 5.0}, "--stall-timeout: with --inline"),
        ({"address": "auto"}, "--address auto: with --inline"),
        ({"max_concurrent": 2}, "--max-concurrent: with --inline"),
    ],
)
def test_what_one_process_cannot_do_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    study = noop_study(tmp_path, "trials: 1")
    with pytest.raises(UserError, match=message):
        run_study(study, replace(options_in(tmp_path, inline=True, max_concurrent=None), **changed))
    assert not (tmp_path / "store").exists()


def test_ray_address_of_the_environment_is_not_asked_for() -> None:
    parser = verb_parser("sweep", "")
    add_running(parser)
    arguments = parser.parse_args(["--inline"])
    assert options_of(arguments, environment={"RAY_ADDRESS": "auto"}).address is None
    assert not options_of(parser.parse_args([]), environment={}).inline, "it is never chosen by itself"
