"""Servers that are killed in mid-study: training goes on, and what they missed arrives once they are back."""

import json
import logging
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from platform import rebuild
from platform.errors import StudyError
from platform.events import TrialEvent
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import Tracking
from platform.options import Options
from platform.record.spool import Spool
from platform.record.trial_log import Recorder, Summary
from platform.run.driver import run_study
from platform.study.study import Study
from storage.events import EventLog
from storage.lease import holder
from storage.local import LocalStore
from storage.uri import open_store
from tests.platform.made_up_study import study_events
from tests.platform.mirrored import mirrored, recorded, runs_of
from tests.platform.noop_studies import inline_in, noop_study, options_in
from tests.programs import ROOT, program
from tests.servers.ceph import Ceph
from tests.servers.mlflow import MlflowServer

TEXT = "trials: 8\nbase: {noop.epochs: 3, noop.sleep: 0.1}"
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("no_figures")]


class At:
    """A view that calls `act` as soon as it has seen `count` trials finish."""

    def __init__(self, count: int, act: Callable[[], object]) -> None:
        self._left, self._act = count, act
        self.after = 0

    def see(self, event: TrialEvent) -> None:
        self.after += 1 if self._left == 0 else 0
        if event.kind == "finished" and self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._act()

    def close(self) -> None:
        pass


def events(study: Study, home: Path) -> list[TrialEvent]:
    return [TrialEvent.from_json(value) for value in EventLog(LocalStore(home / "store"), study.id).read()]


def run(study: Study, options: Options, at: At, *, patience: float) -> Summary:
    mlflow = Tracking(study, home=options.home, uri=options.tracking, store=options.store)
    mlflow._writer._patience = patience
    return run_study(study, options, views=lambda: [mlflow, at])


def assert_all_arrived_once(study: Study, options: Options) -> None:
    stored = events(study, options.home)
    parent, children = runs_of(connected(options.tracking), study.name)
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert sorted(children) == [f"t{point:04d}" for point in range(8)]
    assert mirrored(connected(options.tracking), children) == recorded(stored)
    assert set(recorded(stored).values()) == {1}
    counts = {run.info.run_name: int(run.data.tags["mindsweep.events"]) for run in children.values()}
    assert sum(counts.values()) == int(parent.data.tags["mindsweep.events"]) == len(stored)


@pytest.mark.long
def test_mlflow_killed_and_started_again_in_mid_study(
    mlflow_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = noop_study(tmp_path, TEXT, name="away_for_a_while")
    again = threading.Timer(3.0, mlflow_server.start)

    def fall() -> None:
        mlflow_server.kill()
        again.start()

    options, at = inline_in(tmp_path, tracking=mlflow_server.uri), At(3, fall)
    with caplog.at_level(logging.WARNING):
        summary = run(study, options, at, patience=120.0)
    again.join()
    assert summary.trials["completed"] == 8
    assert at.after > 0, "it was killed in mid-study"
    assert caplog.text.count("MLflow does not answer; events are kept") == 1
    assert "missing in MLflow" not in caplog.text
    assert_all_arrived_once(study, options)


@pytest.mark.long
def test_mlflow_gone_to_the_end_of_the_study(
    mlflow_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = noop_study(tmp_path, TEXT, name="away_to_the_end")
    options, at = inline_in(tmp_path, tracking=mlflow_server.uri), At(2, mlflow_server.kill)
    with caplog.at_level(logging.WARNING):
        summary = run(study, options, at, patience=0.5)
    assert summary.trials["completed"] == 8
    assert summary.exit_code == 0
    assert at.after > 0
    told = re.search(r"The store has all of it; write it with: (.*)", caplog.text)
    assert told is not None
    mlflow_server.start()
    python, dash_m, module, *arguments = shlex.split(told[1])
    assert (python, dash_m, module) == ("python", "-m", "platform.rebuild")
    for _ in range(2):
        assert rebuild.main(arguments) == 0
        assert_all_arrived_once(study, options)


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_a_store_that_does_not_come_back_ends_the_study_and_nothing_is_lost(tmp_path: Path) -> None:
    """As when a network drive goes: the driver cannot write, and neither can the workers."""
    study = noop_study(tmp_path, TEXT, name="no_store")
    store, away, options = tmp_path / "store", tmp_path / "away", options_in(tmp_path)

    def vanish() -> None:
        store.rename(away)
        store.write_text("no folder")

    with pytest.raises(StudyError, match=r"undelivered events are in .*\n?.*when the store can be reached") as told:
        run_study(study, options, views=lambda: [At(2, vanish)])
    assert f"python -m platform.sweep {study.path} --home {tmp_path}" in str(told.value)
    (spool,) = (tmp_path / "spool").iterdir()
    kept = [json.loads(line) for line in spool.read_text().splitlines()]
    store.unlink()
    away.rename(store)
    deadline = time.monotonic() + 60
    while leases := [name for name in ("study-" + study.id, *claimed(store)) if holder(LocalStore(store), name)]:
        assert time.monotonic() < deadline, f"the driver that ended goes on to hold {leases}"
        time.sleep(0.1)
    before = events(study, tmp_path)
    waiting = [TrialEvent.from_json(value) for value in kept if value not in [event.to_json() for event in before]]
    assert waiting
    assert run_study(study, options).trials == {"completed": 8, "pruned": 0, "failed": 0, "unfinished": 0}
    after = events(study, tmp_path)
    assert [event for event in after if event in [*before, *waiting]] == sorted([*before, *waiting], key=in_trial)
    assert set(recorded(after).values()) == {1}
    assert not spool.exists()


def claimed(store: Path) -> list[str]:
    return [path.name for path in (store / "leases").glob("run-*")]


def in_trial(event: TrialEvent) -> tuple[str, int]:
    return event.trial, event.sequence


def test_s3_killed_while_events_are_written(ceph: Ceph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reports never waits; what waits lies on the disk, and arrives once, in order."""
    for name, value in ceph.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://mindsweep/{tmp_path.name}")
    log, spool = EventLog(store, "study"), Spool(tmp_path, "study", store=store.uri)
    made, seen, again = study_events(), At(0, lambda: None), threading.Timer(3.0, ceph.start)
    recorder = Recorder(log, [seen], spool)
    for event in made[:20]:
        recorder.put(event)
    ceph.kill()
    began = time.monotonic()
    for event in made[20:]:
        recorder.put(event)
    assert time.monotonic() - began < 3.0
    assert len(spool.path.read_bytes().splitlines()) >= len(made) - 20
    again.start()
    recorder.close()
    again.join()
    assert [TrialEvent.from_json(value) for value in log.read()] == sorted(made, key=in_trial)
    assert seen.after == len(made)
    assert not spool.path.exists()


@pytest.mark.ray
@pytest.mark.long
def test_s3_killed_in_mid_study(ceph: Ceph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Driver and workers wait for it; what happened meanwhile arrives once, in order."""
    for name, value in ceph.environment.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://mindsweep/{tmp_path.name}"
    study = noop_study(tmp_path, TEXT, name="s3_away")
    log = EventLog(open_store(uri), study.id)
    command, pipe = program("driver", study.path, tmp_path, uri), subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        while sum(event["kind"] == "finished" for event in log.ends()) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        ceph.kill()
        time.sleep(4.0)
        assert process.poll() is None
        ceph.start()
        output, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["trials"]["completed"] == 8
    stored = [TrialEvent.from_json(value) for value in log.read()]
    assert [event.kind for event in stored].count("finished") == 8
    assert set(recorded(stored).values()) == {1}
    assert len(recorded(stored)) == 8 * 3
    for trial in {event.trial for event in stored}:
        numbers = [event.sequence for event in stored if event.trial == trial]
        assert numbers == list(range(len(numbers)))
    assert not list((tmp_path / "spool").iterdir())
