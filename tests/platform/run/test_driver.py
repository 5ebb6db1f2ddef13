"""Whole studies: outcomes, early stopping, interruption at any moment, and one execution for each identity.

On Ray where workers or processes are part of it, in this process where records and views are.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from platform.errors import StudyError, UserError
from platform.events import TrialEvent
from platform.options import Options
from platform.record.optuna_journal import OptunaView
from platform.run.driver import run_study
from platform.study.domains import Choice
from platform.study.space import Space
from platform.study.study import Study
from storage.events import EventLog
from storage.lease import Lease
from storage.local import LocalStore
from tests.platform.noop_studies import inline_in, noop_study, options_in
from tests.programs import ROOT, program


class Heard:
    """A view that keeps what it saw."""

    def __init__(self) -> None:
        self.events: list[TrialEvent] = []
        self.closed = 0

    def see(self, event: TrialEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


def events(study: Study, home: Path) -> list[TrialEvent]:
    return [TrialEvent.from_json(value) for value in EventLog(LocalStore(home / "store"), study.id).read()]


def finished(study: Study, home: Path) -> dict[str, TrialEvent]:
    found = [event for event in events(study, home) if event.kind == "finished"]
    assert len({event.trial for event in found}) == len(found), "a trial finished twice"
    return {event.trial: event for event in found}


def optuna_trials(study: Study, home: Path) -> list[optuna.trial.FrozenTrial]:
    backend = JournalFileBackend(str(home / "optuna" / f"{study.id}.log"))
    return optuna.load_study(study_name=study.id, storage=JournalStorage(backend)).trials


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


@pytest.fixture
def drive() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start drivers as processes of their own; whatever is left of them ends with the test."""
    started: list[subprocess.Popen[str]] = []
    folder = tempfile.mkdtemp(prefix="ms-")  # the temporary folder of these drivers alone

    def start(study: Study, home: Path, address: str = "") -> subprocess.Popen[str]:
        command = program("driver", study.path, home, (home / "store").as_uri(), *filter(None, [address]))
        process = subprocess.Popen(
            command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
        )
        started.append(process)
        return started[-1]

    start.folder = Path(folder)  # type: ignore[attr-defined]
    yield start
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_study_runs_to_its_end_and_then_answers_at_once(tmp_path: Path) -> None:
    study, heard = noop_study(tmp_path, "trials: 6"), Heard()
    summary = run_study(study, inline_in(tmp_path), views=lambda: [heard])
    assert summary.trials == {"completed": 6, "pruned": 0, "failed": 0, "unfinished": 0}
    assert summary.stage_runs == {"executed": 6, "reused": 0}
    assert summary.exit_code == 0
    kinds = Counter(event.kind for event in heard.events)
    assert kinds == {"proposed": 6, "started": 6, "epochs": 6, "finished": 6}
    assert heard.closed == 1
    stored = events(study, tmp_path)
    assert sorted(heard.events, key=lambda e: (e.trial, e.sequence)) == stored
    began = time.monotonic()
    again = Heard()
    assert run_study(study, inline_in(tmp_path), views=lambda: [again]).trials == summary.trials
    assert time.monotonic() - began < 2.0
    assert again.events == stored, "views see all that was, to fill in what they missed"


def test_a_failing_trial_is_recorded_with_its_traceback_and_stops_no_other(tmp_path: Path) -> None:
    space = "space: {noop.fail_at: {choice: [0, 1, 2]}, noop.value: {choice: [0.5]}}"
    study = noop_study(tmp_path, "sampler: grid\nbase: {noop.epochs: 2}", space=space)
    summary = run_study(study, inline_in(tmp_path))
    assert summary.trials == {"completed": 1, "pruned": 0, "failed": 2, "unfinished": 0}
    errors = [event.body["error"] for event in finished(study, tmp_path).values() if event.body["outcome"] == "FAILED"]
    assert len(errors) == 2
    assert all("Traceback" in error and "noop was asked to fail at epoch" in error for error in errors)


def test_early_stopped_trials_are_pruned_at_their_step(tmp_path: Path) -> None:
    study = noop_study(
        tmp_path,
        "trials: 8\nsampler: random\nscheduler: {asha: {grace_epochs: 1, reduction_factor: 2}}\nbase: {noop.epochs: 8}",
    )
    summary = run_study(study, inline_in(tmp_path), views=lambda: [OptunaView(study, home=tmp_path)])
    assert summary.trials["completed"] >= 1
    assert summary.trials["pruned"] >= 1
    assert summary.trials["completed"] + summary.trials["pruned"] == 8
    ends = finished(study, tmp_path)
    pruned = [event.body for event in ends.values() if event.body["outcome"] == "PRUNED"]
    assert all(body["step"] in (1, 2, 4) and "noop.value" in body["metrics"] for body in pruned)
    assert all(event.body["step"] == 8 for event in ends.values() if event.body["outcome"] == "COMPLETED")
    mirrored = [trial for trial in optuna_trials(study, tmp_path) if trial.state == optuna.trial.TrialState.PRUNED]
    assert sorted(trial.last_step or 0 for trial in mirrored) == sorted(body["step"] for body in pruned)


def executes_each_identity_once(options: Options, domains: Mapping[str, Choice], *, shared: int) -> None:
    """Run a study of four points that do not differ in the noop stage's identity.

    Four points with two seeds are thus two stage runs, of which `shared` are made before the trials.
    """
    home, space = options.home, "space: {noop.epochs: {int: [1, 4]}}"
    usual = noop_study(home, "sampler: grid\nrepeats: 2\ntrials: 4", space=space)
    study = replace(usual, space=Space(domains))
    summary = run_study(study, options)
    assert summary.trials["completed"] == 8
    assert summary.stage_runs == {"executed": 2, "reused": 6 + shared}
    runs = [event.body["runs"]["noop"] for event in finished(study, home).values()]
    assert len({run["identity"] for run in runs}) == 2
    assert sum(run["reused"] for run in runs) == 6 + shared


def test_each_stage_run_that_no_trial_changes_is_executed_once(tmp_path: Path) -> None:
    executes_each_identity_once(inline_in(tmp_path), {"dataset.seed": Choice(choice=(1, 2, 3, 4))}, shared=2)


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_each_stage_run_that_two_trials_at_a_time_could_make_is_executed_once(tmp_path: Path) -> None:
    """A field of the identity is swept, but has one value: the stage run is no shared one, and all trials need it."""
    domains = {"noop.value": Choice(choice=(0.5,)), "noop.sleep": Choice(choice=(0.2, 0.21, 0.22, 0.23))}
    executes_each_identity_once(options_in(tmp_path), domains, shared=0)


@pytest.mark.usefixtures("ray_cluster")
def test_a_shared_stage_run_that_fails_ends_the_study(tmp_path: Path) -> None:
    usual = noop_study(tmp_path, "sampler: grid\ntrials: 4", space="space: {noop.epochs: {int: [1, 4]}}")
    study = replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2, 3, 4))}, base={"noop.fail_at": 1}))
    heard = Heard()
    with pytest.raises(StudyError, match=r"stage noop .*which all trials need, failed(.|\n)*fail at epoch 1"):
        run_study(study, options_in(tmp_path), views=lambda: [heard])
    assert heard.closed == 1
    assert finished(study, tmp_path) == {}


def left_behind(folder: Path, seconds: float = 30.0) -> list[psutil.Process]:
    """Return the processes that still work on a Ray in `folder`, after giving them some time to end.

    Ray's own agent of a node is not counted: it looks for the dead head for about a minute before it ends.
    """
    deadline = time.monotonic() + seconds
    while found := [
        process
        for process in psutil.process_iter()
        if str(folder) in (text := words(process)) and not text.startswith("ray::RuntimeEnvAgent")
    ]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.2)
    return []


def words(process: psutil.Process) -> str:
    """Return the command line and the open files of a process; workers hide the first."""
    try:
        files = [file.path for file in process.open_files()]
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join([*process.cmdline(), *files])
    except psutil.Error:
        return ""


def stops_in_order(process: subprocess.Popen[str], study: Study, home: Path) -> None:
    """Look at a driver that was just told to stop: it ends soon, says what is left, and gives the study back."""
    began = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    summary = json.loads(output.splitlines()[-1])
    assert summary["interrupted"] is True
    assert summary["trials"]["unfinished"] >= 1
    with Lease(LocalStore(home / "store"), f"study-{study.id}"):
        pass  # it was given back


@pytest.mark.long
def test_a_killed_driver_and_an_interrupted_one_lose_and_double_nothing(
    tmp_path: Path, ray_cluster: str, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    """The first is killed; Ctrl-C reaches the second and the Ray that it started; the third comes to the end."""
    study = noop_study(tmp_path, "trials: 10\nrepeats: 1\nbase: {noop.epochs: 4, noop.sleep: 0.15}")
    first = drive(study, tmp_path)
    wait_for(lambda: (tmp_path / "store").exists() and len(finished(study, tmp_path)) >= 3, first)
    (folder,) = drive.folder.glob("mindsweep-ray-*")  # type: ignore[attr-defined]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert left_behind(folder) == [], "a process of the killed driver's Ray is left"
    before = finished(study, tmp_path)
    assert len(before) < 10
    second = drive(study, tmp_path)
    wait_for(lambda: len(finished(study, tmp_path)) > len(before), second)
    os.killpg(second.pid, signal.SIGINT)
    stops_in_order(second, study, tmp_path)
    assert not folder.exists(), "the next driver removes what the killed one left"
    before = finished(study, tmp_path) | before
    done = run_study(study, options_in(tmp_path, address=ray_cluster), views=lambda: [OptunaView(study, home=tmp_path)])
    assert done.trials == {"completed": 10, "pruned": 0, "failed": 0, "unfinished": 0}
    after = finished(study, tmp_path)
    assert {trial: after[trial] for trial in before} == before
    assert sorted(after) == [f"t{point:04d}" for point in range(10)]
    rows = [
        (e.trial, row["stage"], row["epoch"])
        for e in events(study, tmp_path)
        if e.kind == "epochs"
        for row in e.body["rows"]
    ]
    assert sorted(rows) == sorted((trial, "noop", epoch) for trial in after for epoch in (1, 2, 3, 4))
    assert sorted(trial.user_attrs["point"] for trial in optuna_trials(study, tmp_path)) == list(range(10))
    assert list((tmp_path / "store" / "checkpoints").rglob("manifest.json")) == []


@pytest.mark.long
def test_a_terminated_driver_leaves_the_ray_of_others_alone(
    tmp_path: Path, ray_cluster: str, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    study = noop_study(tmp_path, "trials: 5\nbase: {noop.epochs: 5, noop.sleep: 0.3}")
    process = drive(study, tmp_path, ray_cluster)
    wait_for(lambda: (tmp_path / "store").exists() and len(finished(study, tmp_path)) >= 1, process)
    process.send_signal(signal.SIGTERM)
    stops_in_order(process, study, tmp_path)
    done = run_study(study, options_in(tmp_path))
    assert done.trials == {"completed": 5, "pruned": 0, "failed": 0, "unfinished": 0}


@pytest.mark.long
def test_sigterm_to_all_processes_of_a_command_stops_it_in_order(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    """As schedulers and `timeout` send it. Without Ray's own processes the driver waited for them."""
    study = noop_study(tmp_path, "trials: 5\nbase: {noop.epochs: 5, noop.sleep: 0.3}")
    process = drive(study, tmp_path)
    wait_for(lambda: (tmp_path / "store").exists() and len(finished(study, tmp_path)) >= 1, process)
    os.killpg(process.pid, signal.SIGTERM)
    stops_in_order(process, study, tmp_path)


def test_two_drivers_on_one_study(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 2")
    with (
        Lease(LocalStore(tmp_path / "store"), f"study-{study.id}"),
        pytest.raises(UserError, match=f"another driver is running study {study.id}.*process {os.getpid()}"),
    ):
        run_study(study, options_in(tmp_path))
    assert events(study, tmp_path) == []


def test_a_store_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 2")
    (tmp_path / "store").write_text("no folder")
    with pytest.raises(UserError, match="store"):
        run_study(study, options_in(tmp_path))
