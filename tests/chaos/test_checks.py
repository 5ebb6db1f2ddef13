"""That the checks of a campaign see what they are there for: each harm to a sound study is named by its check."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from platform.events import Finished, TrialEvent
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import Tracking
from platform.options import Options
from platform.record.optuna_journal import OptunaView
from platform.record.tables import RecordTables
from platform.run.driver import run_study
from storage import layout
from storage.events import EventLog
from storage.lease import Lease
from storage.runs import RunStore
from tests.chaos import checks
from tests.chaos.checks import Ended, problems
from tests.chaos.reference import reference
from tests.chaos.scene import MARK, Scene
from tests.chaos.servers import Servers
from tests.chaos.studies import ChaosStudy
from tests.platform.mirrored import runs_of

STUDY = ChaosStudy(
    "sound",
    "inline",
    "target: noop.value\nsampler: random\ntrials: 3\nspace: {noop.value: {uniform: [0.0, 1.0]}}\n"
    "base: {noop.epochs: 2}\n",
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A study that met no fault, with all views."""
    folder = tmp_path_factory.mktemp("sound")
    for part in ("home", "t"):
        (folder / part).mkdir()
    file = STUDY.write(folder)
    scene = Scene(STUDY, STUDY.load(file), folder, Servers(folder))
    options = Options(home=scene.home, store=scene.store_uri, tracking=scene.tracking, inline=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platform.figures.page.write", lambda data, **files: None)
        run_study(
            scene.study,
            options,
            views=lambda: [
                OptunaView(scene.study, home=scene.home),
                RecordTables(scene.store, scene.study.id),
                Tracking(scene.study, home=scene.home, uri=scene.tracking, store=scene.store_uri),
            ],
        )
    return Ended(scene, reference(STUDY, file, folder / "reference"), frozenset())


@pytest.fixture
def copy(sound: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """A copy of it, which a test may harm."""
    monkeypatch.setattr(checks, "_PATIENCE", 0.0)
    shutil.copytree(sound.scene.folder, tmp_path / "copy")
    return Ended(replace(sound.scene, folder=tmp_path / "copy"), sound.expected, frozenset())


def test_a_sound_study_has_no_problem(copy: Ended) -> None:
    assert problems(copy) == []
    assert len(copy.facts.trials) == 3


def _append(ended: Ended, event: TrialEvent) -> None:
    EventLog(ended.store, ended.study.id).append(event.trial, event.sequence, event.to_json())


def _ends_twice(ended: Ended) -> None:
    end = next(event for event in ended.events if isinstance(event, Finished))
    _append(ended, replace(end, sequence=end.sequence + 1))


def _repeats_an_epoch(ended: Ended) -> None:
    rows = next(event for event in ended.events if event.kind == "epochs")
    last = max(event.sequence for event in ended.events if event.trial == rows.trial)
    _append(ended, replace(rows, sequence=last + 1))


def _loses_an_event(ended: Ended) -> None:
    ended.store.delete(layout.event(ended.study.id, "t0001", 2))


def _changes_a_result(ended: Ended) -> None:
    end = next(event for event in ended.events if isinstance(event, Finished))
    ended.store.delete(layout.event(ended.study.id, end.trial, end.sequence))
    _append(ended, replace(end, metrics={"noop.value": 7.0}))


def _claims_another_execution(ended: Ended) -> None:
    first, second = [event for event in ended.events if isinstance(event, Finished)][:2]
    ended.store.delete(layout.event(ended.study.id, second.trial, second.sequence))
    _append(ended, replace(second, runs=first.runs))


def _damages_a_blob(ended: Ended) -> None:
    key = next(iter(ended.store.list(layout.blobs())))
    ended.store.put(key, b"other", replace=True)


def _commits_an_unknown_run(ended: Ended) -> None:
    runs = RunStore(ended.store, cache=ended.scene.folder / "cache")
    (identity, *_) = ended.facts.artifacts
    manifest = runs.find(identity)
    assert manifest is not None
    runs.commit(replace(manifest, identity="noop-0123456789abcdef"), runs.open(identity).path("value.json").parent)


def _adds_a_point(ended: Ended) -> None:
    view = OptunaView(ended.study, home=ended.scene.home)
    view._optuna.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"point": 0}))


def _adds_an_mlflow_run(ended: Ended) -> None:
    client = connected(ended.scene.tracking)
    parent, children = runs_of(client, ended.study.name)
    run = next(iter(children.values()))
    tags = {name: value for name, value in run.data.tags.items() if name.startswith(("mindsweep.", "mlflow.parent"))}
    client.create_run(parent.info.experiment_id, tags=tags, run_name=run.info.run_name)


def _adds_an_mlflow_value(ended: Ended) -> None:
    client = connected(ended.scene.tracking)
    _, children = runs_of(client, ended.study.name)
    client.log_metric(children["t0000"].info.run_id, "epochs/noop.value", 0.5, step=2)


def _removes_a_table(ended: Ended) -> None:
    ended.store.delete(layout.record(ended.study.id, "trials.parquet"))


def _leaves(place: Callable[[Ended], Path]) -> Callable[[Ended], None]:
    def leave(ended: Ended) -> None:
        path = place(ended)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")

    return leave


HARMS: dict[str, tuple[Callable[[Ended], None], str]] = {
    "an end twice": (_ends_twice, "events_are_complete"),
    "a lost event": (_loses_an_event, "events_are_complete"),
    "a repeated epoch": (_repeats_an_epoch, "epochs_are_recorded_once"),
    "another result": (_changes_a_result, "results_are_those_without_faults"),
    "an unknown run": (_commits_an_unknown_run, "results_are_those_without_faults"),
    "a run twice": (_claims_another_execution, "stage_runs_are_executed_once"),
    "a damaged blob": (_damages_a_blob, "artifacts_are_intact"),
    "an MLflow run twice": (_adds_an_mlflow_run, "mlflow_has_all_once"),
    "an MLflow value twice": (_adds_an_mlflow_value, "mlflow_has_all_once"),
    "a point twice": (_adds_a_point, "journal_has_all_once"),
    "no table": (_removes_a_table, "tables_have_all_once"),
    "a checkpoint": (_leaves(lambda e: e.scene.home / "store/checkpoints/noop-1/000001/files/a"), "nothing_is_held"),
    "a pulse": (_leaves(lambda e: e.scene.home / f"store/studies/{e.study.id}/pulses/t0000.json"), "nothing_is_held"),
    "scratch": (_leaves(lambda e: e.scene.home / "scratch/other/file"), "nothing_is_left_on_the_disk"),
    "a spool": (_leaves(lambda e: e.scene.home / "spool/file.jsonl"), "nothing_is_left_on_the_disk"),
    "a temporary file": (_leaves(lambda e: e.scene.temporary / "mindsweep-x"), "nothing_is_left_on_the_disk"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_each_harm_is_named(copy: Ended, harm: str) -> None:
    harms, check = HARMS[harm]
    harms(Ended(copy.scene, copy.expected, frozenset()))
    assert check in {problem.partition(":")[0] for problem in problems(copy)}


def test_a_held_lease_is_named(copy: Ended) -> None:
    with Lease(copy.store, "run-noop-1"):
        assert "nothing_is_held: lease run-noop-1 is held" in problems(copy)


@contextmanager
def _process(mark: str) -> Iterator[int]:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={MARK: mark}, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        with closing(process.stdin):
            yield process.pid


def test_a_process_that_is_left_is_named(copy: Ended) -> None:
    with _process(copy.scene.folder.name) as pid:
        assert any(problem.startswith(f"no_process_is_left: process {pid}") for problem in problems(copy))
