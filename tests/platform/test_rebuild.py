"""MLflow and Optuna made anew from the store alone: the same runs, params, metrics and tags, the same Optuna trials."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from platform.errors import UserError
from platform.events import Kind, TrialEvent
from platform.mlflow_view.attached_report import attach_report
from platform.mlflow_view.tracking import Tracking
from platform.rebuild import in_time, main
from platform.record.study_from_store import call_of, recorded_study
from platform.record.study_names import resolve_study
from platform.record.trial_log import proposed_body
from platform.reporting.making import make_report
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import load_ablation
from platform.study.registration import Amendment, amend
from platform.sweep import main as sweep
from platform.tracking_uri import default_tracking
from storage import layout
from storage.errors import IntegrityError
from storage.events import EventLog
from storage.lease import Lease
from storage.local import LocalStore
from storage.studies import load_calls, save_call, save_study
from tests.platform.made_up_events import made_up_event
from tests.platform.mlflow_content import everything, unlike
from tests.platform.noop_studies import dispatcher, noop_study, play
from tests.programs import ROOT, program

SWEEP = """\
target: noop.value
trials: 4
sampler: random
repeats: 2
space:
  noop.value: {uniform: [0.0, 1.0], when: {noop.fail_at: 0}}
  noop.fail_at: {choice: [0, 2]}
  noop.epochs: {log_int: [2, 8], when: {noop.fail_at: 0}}
"""
ABLATION = """\
primary: [noop.value]
seeds: 7
unit: seeds
conditions:
  half: {noop.value: 0.5}
  broken: {noop.fail_at: 1}
"""


def optuna_trials(home: Path, study: str) -> list[Any]:
    backend = JournalFileBackend(str(home / "optuna" / f"{study}.log"))
    trials = optuna.load_study(study_name=study, storage=JournalStorage(backend)).trials
    return [
        (t.number, t.state, t.params, t.distributions, t.values, t.intermediate_values, t.user_attrs) for t in trials
    ]


def forget(home: Path) -> str:
    """Delete all that is not the store; return the URI of another database: MLflow keeps a deleted one open."""
    for name in ("mlartifacts", "optuna", "reports"):
        shutil.rmtree(home / name, ignore_errors=True)
    (home / "mlflow.db").unlink()
    return f"sqlite:///{home}/again.db"


@pytest.mark.long
@pytest.mark.usefixtures("no_figures")
def test_a_sweep_comes_back_from_the_store_alone(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "tiny.yaml"
    file.write_text(SWEEP)
    assert sweep([str(file), "--home", str(home), "--inline"]) == 0
    before = everything(default_tracking(home))
    tiny = resolve_study(LocalStore(home / "store"), "tiny")
    points = optuna_trials(home, tiny)
    assert len(points) == 4
    assert len(before) == 2 + 1 + 8, "experiments (MLflow makes one called Default), the parent run, trials"
    assert before[f"mindsweep/tiny/{tiny}"]["params"]["study.repeats"] == "2"
    assert any("epochs/noop.value" in run.get("metrics", ()) for run in before.values())

    again = forget(home)
    file.unlink()
    for _ in range(2):  # the second time nothing changes
        assert main(["--home", str(home), "--tracking", again]) == 0
        assert unlike(everything(again), before) == []
        assert optuna_trials(home, tiny) == points


@pytest.mark.long
@pytest.mark.usefixtures("no_figures")
def test_an_ablation_comes_back_with_its_report(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "small.yaml"
    file.write_text(ABLATION)
    study, store = replace(load_ablation(file), repeats=8), LocalStore(home / "store")
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    amend(store, study.id, Amendment(7, 8, time=5.0))
    study = replace(study, amendments=(Amendment(7, 8, time=5.0),))
    save_call(store, study.id, call_of(study), time=1.0)
    mlflow_view = Tracking(study, home=home, uri=default_tracking(home), store=store.uri)
    for event in in_time(played_ablation(study, store)):
        mlflow_view.see(event)
    mlflow_view.close()
    attach_report(make_report(store, study.id, home / "reports")[0], study, uri=default_tracking(home))
    before = everything(default_tracking(home))
    assert len(before) == 2 + 1 + 24
    parent = before["mindsweep/small/small"]
    assert parent["tags"]["amendments"] == "seeds 7 -> 8"
    assert "report/report.html" in parent["artifacts"]
    assert before["mindsweep/small/broken-u0-s0"]["tags"]["condition"] == "broken"

    again = forget(home)
    file.unlink()
    for _ in range(2):
        assert main(["small", "--home", str(home), "--tracking", again]) == 0
        assert unlike(everything(again), before) == []
        assert not (home / "optuna").exists(), "nothing was searched"


def played_ablation(study: AblationStudy, store: LocalStore) -> Iterator[TrialEvent]:
    """Yield and store events of all trials of `study`, in some order; one condition fails."""
    log = EventLog(store, study.id)
    for number, spec in enumerate(study.specs):
        point, repeat = divmod(number, study.repeats)
        values, broken = study.points[point], spec.trial.startswith("broken")
        labels = study.labels(repeat, values)
        began = 1000.0 - number / 7
        end: dict[str, Any] = {"outcome": "FAILED", "metrics": {}, "error": "it broke", "seconds": 1.5, "runs": {}}
        if not broken:
            end |= {"outcome": "COMPLETED", "metrics": {"noop.value": spec.config["noop"]["value"]}, "error": None}
        bodies: list[tuple[Kind, dict[str, Any]]] = [
            ("proposed", proposed_body(spec, point=point, repeat=repeat, values=values, labels=labels)),
            ("started", {"attempt": 1}),
            ("finished", {**end, "step": None}),
        ]
        for sequence, (kind, body) in enumerate(bodies):
            event = made_up_event(spec.trial, sequence, kind, began + 0.1 * sequence, body)
            log.append(event.trial, event.sequence, event.to_json())
            yield event


@pytest.fixture
def played(tmp_path: Path) -> tuple[LocalStore, str]:
    """A store with one study of three trials, and the study's id."""
    study = noop_study(tmp_path, "trials: 3")
    running, heard = dispatcher(study, [], tmp_path)
    list(play(running, 3))
    store = LocalStore(tmp_path / "store")
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, call_of(study), time=1.0)
    for event in heard.events:
        EventLog(store, study.id).append(event.trial, event.sequence, event.to_json())
    return store, study.id


def test_a_study_is_told_from_its_records(tmp_path: Path, played: tuple[LocalStore, str]) -> None:
    store, name = played
    told, original = recorded_study(store, name), noop_study(tmp_path, "trials: 3")
    for field in ("id", "name", "source", "path", "settings", "trials", "targets", "definition", "scheduler", "space"):
        assert getattr(told, field) == getattr(original, field), field


def test_a_call_is_kept_once(tmp_path: Path, played: tuple[LocalStore, str]) -> None:
    store, name = played
    study = noop_study(tmp_path, "trials: 3")
    save_call(store, name, call_of(study), time=2.0)
    assert [call["time"] for call in load_calls(store, name)] == [1.0]
    save_call(store, name, call_of(noop_study(tmp_path, "trials: 5")), time=3.0)
    assert [(call["time"], call["trials"]) for call in load_calls(store, name)] == [(1.0, 3), (3.0, 5)]
    assert recorded_study(store, name).trials == 5


def test_a_study_from_before_calls_were_kept(tmp_path: Path, played: tuple[LocalStore, str]) -> None:
    store, name = played
    store.delete(layout.call(name, 1))
    told = recorded_study(store, name)
    assert (told.id, told.trials, told.path) == (name, 3, "noop.yaml")
    assert told.source.startswith("# This study was run before")


def test_a_definition_that_is_not_the_one_it_is_named_by(tmp_path: Path, played: tuple[LocalStore, str]) -> None:
    store, _ = played
    definition = noop_study(tmp_path, "trials: 3\nseed: 7").definition
    save_study(store, "noop-00000000", {"id": "noop-00000000", "definition": definition})
    with pytest.raises(IntegrityError, match="noop-00000000 is that of noop-"):
        recorded_study(store, "noop-00000000")
    definition["scheduler"] = {"name": "of_the_future"}
    save_study(store, "other-00000000", {"id": "other-00000000", "definition": definition})
    with pytest.raises(UserError, match=r"cannot be read by this version of Mindsweep.*of_the_future"):
        recorded_study(store, "other-00000000")


def test_events_are_replayed_in_the_order_in_which_they_happened() -> None:
    times = {"a": (5.0, 1.0, 7.0), "b": (2.0, 6.0)}
    events = [
        made_up_event(trial, number, "started", time, {"attempt": 1})
        for trial, series in times.items()
        for number, time in enumerate(series)
    ]
    found = [(event.trial, event.sequence) for event in in_time(events)]
    assert found == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("a", 2)], "a clock that goes back disorders no trial"


def test_a_study_that_a_driver_works_on_is_left_alone(
    tmp_path: Path, played: tuple[LocalStore, str], capsys: pytest.CaptureFixture[str]
) -> None:
    store, name = played
    with Lease(store, f"study-{name}"):
        assert main(["--home", str(tmp_path)]) == 2
    assert f"another driver works on study {name}" in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()


def test_mistakes_are_answered_before_anything_is_imported_or_written(
    tmp_path: Path, played: tuple[LocalStore, str]
) -> None:
    command = program("loaded", "platform", "ray,mlflow,optuna,torch", "platform.rebuild", "noop-1", "--home", tmp_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "holds no study noop-1; did you mean noop? there are: noop\n" in done.stderr
    assert done.stdout.splitlines() == ["[]"]
    assert main(["--home", str(tmp_path / "empty")]) == 2
    assert not (tmp_path / "empty").exists()
