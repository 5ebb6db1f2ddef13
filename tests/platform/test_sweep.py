"""How `python -m platform.sweep` answers what the driver reports."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform import sweep
from platform.errors import StudyError, UserError
from platform.options import Options
from platform.record.trial_log import Summary
from platform.study.study import Study
from storage import layout
from storage.errors import LeaseHeldError, UnavailableError
from storage.lease import Lease
from storage.uri import open_store
from tests.platform.no_mlflow import NoMlflow, drive_by
from tests.platform.study_texts import NOOP

DONE = Summary("test-1", {"completed": 4}, (), {"executed": 4, "reused": 0}, 1.0)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    path = tmp_path / "small.yaml"
    path.write_text(NOOP)
    return [str(path), "--home", str(tmp_path / "home")]


def answer(monkeypatch: pytest.MonkeyPatch, outcome: Summary | BaseException) -> list[Study]:
    """Let the driver give `outcome`; return the list of studies it is called with."""
    called: list[Study] = []

    def run_study(study: Study, options: Any) -> Summary:
        called.append(study)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    drive_by(run_study, monkeypatch)
    monkeypatch.setattr("platform.run_answers._report", lambda *_: {})  # nothing is stored
    return called


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (DONE, 0),
        (replace(DONE, trials={"completed": 0}), 1),
        (replace(DONE, interrupted=True), 130),
        (KeyboardInterrupt(), 130),
        (UserError("another driver"), 2),
        (StudyError("all failed"), 1),
        (UnavailableError("the store went away"), 1),
    ],
)
def test_exit_codes(
    outcome: Summary | BaseException, code: int, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = answer(monkeypatch, outcome)
    assert sweep.main(command) == code
    assert len(called) == 1


def test_the_summary_is_one_json_object(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, DONE)
    sweep.main([*command, "--json"])
    assert json.loads(capsys.readouterr().out)["study"] == "test-1"


def test_a_new_attempt_begins_and_the_same_command_continues_the_latest(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called = answer(monkeypatch, DONE)
    store = open_store((tmp_path / "home" / "store").as_uri())
    for extra in ([], [], ["--new-attempt"], [], ["--fresh"]):
        sweep.main([*command, *extra])
        key = layout.study(called[-1].id)
        if not store.exists(key):
            store.put(key, b"{}")
    first = called[0].id
    assert [study.id for study in called] == [first, first, f"{first}.2", f"{first}.2", f"{first}.3"]


def test_no_other_driver_begins_while_a_command_waits_for_mlflow(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its MLflow, or that of `rebuild`, would write the same runs a second time."""
    leases: list[Lease] = []

    class Waiting(NoMlflow):
        def __exit__(self, *_: object) -> None:
            with pytest.raises(LeaseHeldError):
                leases[0].acquire()

    def waiting(study: Study, options: Options) -> Waiting:
        leases.append(Lease(open_store(options.store), f"study-{study.id}"))
        return Waiting()

    monkeypatch.setattr("platform.launch.mlflow_view", waiting)
    monkeypatch.setattr("platform.run_answers._report", lambda *_: {})
    assert sweep.main([*command, "--inline"]) == 0
    leases[0].acquire()
    leases[0].release()
