"""The MLflow view where things go wrong: kills, outages, odd values, URIs that cannot work."""

import json
import logging
import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from platform.errors import UserError
from platform.events import TrialEvent
from platform.mlflow_view import client
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import Tracking
from platform.record.trial_record import TrialRecord
from platform.tracking_uri import check_tracking, default_tracking
from storage.environment import without_secrets
from tests.platform.made_up_study import BEGAN, EPOCHS, later, made_up_study, study_events, trial_events
from tests.platform.mirrored import mirror, rows, runs_by_name


def test_a_study_interrupted_anywhere_ends_as_one_that_was_not(new_home: Callable[[str], Path]) -> None:
    events = study_events(trials=3, pruned=0, failed=0)
    whole, parts = new_home("whole"), new_home("parts")
    study = made_up_study(trials=3)
    mirror(whole, study, events)
    for end in (1, 4, 11, len(events)):
        mirror(parts, study, events[:end])
    for table in ("runs", "inputs"):
        assert rows(whole)[table] == rows(parts)[table]
    names = [{run.info.run_id: name for name, run in runs_by_name(home).items()} for home in (whole, parts)]
    for table in ("metrics", "params"):
        first, second = (
            sorted((name[row[0]], *row[1:]) for row in rows(home)[table] if not row[1].startswith("best."))
            for home, name in zip((whole, parts), names, strict=True)
        )
        assert first == second


def test_killed_between_batches_nothing_is_doubled(new_home: Callable[[str], Path]) -> None:
    folder = new_home("home")
    study, events = made_up_study(trials=1), list(trial_events(0))
    tracking = Tracking(study, home=folder, uri=default_tracking(folder), store="file:///s")
    for event in events[:4]:
        tracking.see(event)
    tracking._writer.close()  # as kill -9 leaves it: written so far, never concluded
    mirror(folder, study, events)
    metrics = rows(folder)["metrics"]
    places = [row[:3] for row in metrics]
    assert len(places) == len(set(places))
    assert len([row for row in rows(folder)["runs"] if row[0] == "t0000"]) == 1


def test_an_epoch_done_again_after_a_crash_adds_no_point(new_home: Callable[[str], Path]) -> None:
    folder = new_home("home")
    events = list(trial_events(0))
    again = replace(later(events[3], rows=[{**events[3].body["rows"][0], "time": BEGAN + 500}]), sequence=4)
    shifted = [replace(event, sequence=event.sequence + 1) for event in events[4:]]
    mirror(folder, made_up_study(trials=1), [*events[:4], again, *shifted])
    client = mlflow.MlflowClient(tracking_uri=default_tracking(folder))
    history = client.get_metric_history(runs_by_name(folder)["t0000"].info.run_id, "epochs/motion.loss")
    assert [metric.step for metric in history] == list(range(1, EPOCHS + 1))


def test_long_values_odd_names_and_thousands_of_points(new_home: Callable[[str], Path]) -> None:
    folder = new_home("home")
    events = list(trial_events(0))
    config = {**events[0].body["config"], "preset": "x" * 10_000, "odd=key?": 1, "odd?key=": 2}
    epochs = range(1, 1301)
    many = [
        {"stage": "motion", "epoch": e, "metrics": {"loss": 1 / e, "at%": float("nan")}, "time": BEGAN + e}
        for e in epochs
    ]
    changed = [later(events[0], config=config), events[1], later(events[2], rows=many), replace(events[-1], sequence=3)]
    mirror(folder, made_up_study(trials=1), changed)
    run = runs_by_name(folder)["t0000"]
    assert len(run.data.params["preset"]) == 6000
    assert "10000 characters" in run.data.params["preset"]
    odd = {name: value for name, value in run.data.params.items() if name.startswith("odd_key_-")}
    assert sorted(odd.values()) == ["1", "2"], "names that MLflow refuses stay apart"
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert json.loads((artifacts / "config.json").read_text())["preset"] == "x" * 10_000
    points = [row for row in rows(folder)["metrics"] if row[1].startswith("epochs/")]
    assert len(points) == 2 * 1300


def test_why_it_failed_is_a_tag_and_what_it_used_are_metrics(new_home: Callable[[str], Path]) -> None:
    folder, events = new_home("home"), list(trial_events(4, outcome="FAILED"))
    started, usage = events[1].time, "system/cpu_utilization_percentage"
    samples = [{"time": started + seconds, "metrics": {usage: 10.0 * seconds}} for seconds in (1.2, 6.3)]
    told: dict[str, Any] = {"cause": "OUT_OF_MEMORY", "time": {"queue": 0.5, "compute": 3.5}}
    changed = [*events[:2], later(events[2], samples=samples), *events[3:-1], later(events[-1], **told)]
    for _ in range(2):
        mirror(folder, made_up_study(trials=1), changed)
    run = runs_by_name(folder)["t0004"]
    assert run.data.tags["cause"] == "out_of_memory"
    assert (run.data.metrics["time/queue"], run.data.metrics["time/compute"]) == (0.5, 3.5)
    history = mlflow.MlflowClient(default_tracking(folder)).get_metric_history(run.info.run_id, usage)
    assert [(point.step, point.value) for point in history] == [(1, 12.0), (6, 63.0)]


def test_repeats_and_unfinished_trials(new_home: Callable[[str], Path]) -> None:
    folder = new_home("home")
    study = made_up_study(trials=2, repeats=2)
    events = study_events(trials=2, repeats=2, pruned=0, failed=0)
    mirror(folder, study, events[:-1])
    runs = runs_by_name(folder)
    assert runs["t0001-s1"].info.status == "RUNNING"
    assert runs[study.id].info.status == "KILLED", "trials are missing"
    assert runs[study.id].data.tags["best.trial"] == "t0000-s0"
    assert runs[study.id].data.tags["best.point"] == "t0000, mean of 2 seeds"
    assert "| t0000, mean of 2 seeds |" in runs[study.id].data.tags["mlflow.note.content"]
    mirror(folder, study, events)
    assert runs_by_name(folder)[study.id].info.status == "FINISHED"
    assert runs_by_name(folder)["t0001-s1"].info.status == "FINISHED"


def test_a_server_that_stays_away_is_told_once_and_written_later(
    new_home: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = new_home("home")
    study, events = made_up_study(trials=1), list(trial_events(0))
    tracking = Tracking(study, home=folder, uri="http://someone:secret@127.0.0.1:1", store="file:///s")
    tracking._writer._patience = 0.5
    for event in events:
        tracking.see(event)
    with caplog.at_level(logging.WARNING):
        tracking.close()
    assert "secret" not in caplog.text
    assert caplog.text.count("does not answer") == 1
    assert f"missing in MLflow: {len(events)} events of 1 trials" in caplog.text
    assert "python -m platform.rebuild cmg-1a2b3c4d" in caplog.text
    mirror(folder, study, events)
    assert runs_by_name(folder)["t0000"].info.status == "FINISHED"


class Together:
    """Runs of a study of which two must be written at the same time, each in the order of its events."""

    concluded = 0

    def __init__(self) -> None:
        self.both = threading.Barrier(2)
        self.seen: dict[str, list[int]] = defaultdict(list)

    def write(self, trial: str, events: Sequence[TrialEvent], *_: object) -> None:
        if not self.seen[trial]:
            self.both.wait(10)
        self.seen[trial] += [event.sequence for event in events]


def test_a_server_takes_several_trials_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, events = made_up_study(trials=2), study_events(trials=2, pruned=0, failed=0)
    runs = Together()
    monkeypatch.setattr(Tracking, "_connected", lambda _: runs)
    tracking = Tracking(study, home=tmp_path, uri="http://127.0.0.1:1", store="file:///s")
    for event in events:
        tracking._records.setdefault(event.trial, TrialRecord(event.trial)).absorb(event)
    tracking._write(events)  # as one batch
    assert tracking.drain() == []
    assert runs.seen == {trial: sorted(e.sequence for e in events if e.trial == trial) for trial in runs.seen}
    assert len(runs.seen) == 2


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ftp://host/x", "is not a tracking URI; it must be like one of: sqlite"),
        ("mlruns", "is not a tracking URI; it must be like one of: sqlite"),
        ("http://user:secret@127.0.0.1:1", "does not answer"),
        ("postgresql+json://user:secret@127.0.0.1:1/mlflow", "does not answer"),  # a package that is there
        ("postgresql+absent://user:secret@127.0.0.1:1/mlflow", "needs the Python package absent"),
        (f"sqlite:///{__file__}/mlflow.db", "cannot be written"),
        ("sqlite://", "names no file"),
    ],
)
def test_a_tracking_uri_that_cannot_work_is_refused_at_once(uri: str, words: str) -> None:
    with pytest.raises(Exception, match=words) as caught:
        check_tracking(uri, timeout=1.0)
    assert type(caught.value).__name__ == "UserError"
    assert "secret" not in str(caught.value)


def test_secrets_in_uris_are_dotted_out() -> None:
    text = "cannot reach postgresql://me:pa55@db:5432/x nor https://tok@host/ but file:///a@b"
    assert without_secrets(text) == "cannot reach postgresql://...@db:5432/x nor https://...@host/ but file:///a@b"


def test_a_database_whose_making_was_interrupted_is_made_anew(
    new_home: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """MLflow writes the version of its tables last, and works with no file that lacks it."""
    home = new_home("home")
    client._make_database(home / "mlflow.db")  # `connected` would leave it open
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        database.execute("delete from alembic_version")
        database.commit()
    mirror(home, made_up_study(trials=1), study_events(trials=1, pruned=0, failed=0))
    assert len(runs_by_name(home)) == 2
    assert (home / "mlflow.unfinished").exists()
    assert "its making was interrupted" in caplog.text


def test_a_process_that_is_killed_meanwhile_leaves_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
            database.execute("create table experiments (name text)")
            database.commit()
        raise KeyboardInterrupt

    monkeypatch.setattr("platform.mlflow_view.client._make_tables", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            connected(default_tracking(tmp_path))
        assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["runs?1", "a%41", "%3f"])
def test_a_home_whose_database_mlflow_cannot_open_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"MLflow cannot open .*{re.escape(name)}/mlflow.db: in a database's address"):
        check_tracking(default_tracking(tmp_path / name))


def test_other_signs_in_the_name_of_a_home_will_do(tmp_path: Path) -> None:
    for name in ("a b", "50%", "5%zz", "a#b", "a'b", "a&b=1", "a;b", "aü"):
        check_tracking(default_tracking(tmp_path / name))
