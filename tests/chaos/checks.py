"""What must hold when a study has ended, whatever it met: each check returns what is wrong, in words."""

import io
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import optuna
import psutil
import pyarrow.parquet as pq
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from platform.events import Epochs, Finished, TrialEvent
from platform.mlflow_view.client import connected
from platform.record.spool import local_name
from platform.study.study import Study
from storage import gc, layout, verify
from storage.base import Store
from storage.events import EventLog
from storage.lease import holder
from tests.chaos.reference import Facts, facts_of
from tests.chaos.scene import Scene, processes_of
from tests.chaos.servers import variables
from tests.platform.mirrored import mirrored, recorded, runs_of
from tests.programs import ROOT

_PATIENCE = 90.0
"""Seconds in which processes end: Ray's agents of a node look for its dead head for about a minute."""
_SHOWN = 3
"""How many of many differences are named."""


@dataclass(frozen=True)
class Ended:
    """A case whose study has ended."""

    scene: Scene
    expected: Facts
    forgiven: frozenset[str]
    """Causes with which a trial may have failed before it was started again."""

    @cached_property
    def store(self) -> Store:
        return self.scene.store

    @property
    def study(self) -> Study:
        return self.scene.study

    @cached_property
    def events(self) -> list[TrialEvent]:
        return [TrialEvent.from_json(value) for value in EventLog(self.store, self.study.id).read()]

    @cached_property
    def facts(self) -> Facts:
        return facts_of(self.store, self.events)


def events_are_complete(ended: Ended) -> Iterator[str]:
    """Each trial has all its events, ends once, and begins again only after a fault's failure."""
    for trial in sorted({event.trial for event in ended.events}):
        events = [event for event in ended.events if event.trial == trial]
        numbers = [event.sequence for event in events]
        if numbers != list(range(len(numbers))):
            yield f"{trial}: its events have the numbers {numbers}"
        ends = [event for event in events if isinstance(event, Finished)]
        early = [end for end in ends[:-1] if end.outcome != "FAILED" or end.cause not in ended.forgiven]
        if not ends or early:
            yield f"{trial}: ended {len(ends)} times: {[(end.outcome, end.cause) for end in ends]}"
        elif events[-1] is not ends[-1]:
            yield f"{trial}: {type(events[-1]).__name__} follows its end"


def epochs_are_recorded_once(ended: Ended) -> Iterator[str]:
    """No row of an epoch is in two events."""
    rows = Counter(
        (event.trial, row["stage"], row["epoch"])
        for event in ended.events
        if isinstance(event, Epochs)
        for row in event.rows
    )
    yield from (f"epoch {row} is recorded {count} times" for row, count in rows.items() if count > 1)


def results_are_those_without_faults(ended: Ended) -> Iterator[str]:
    """Values, seeds, outcomes, metrics, epochs and the bytes of all artifacts."""
    for name in ("trials", "epochs", "artifacts"):
        actual, expected = getattr(ended.facts, name), getattr(ended.expected, name)
        wrong = [key for key in {**actual, **expected} if actual.get(key) != expected.get(key)]
        for key in wrong[:_SHOWN]:
            yield f"{name} {key}: {actual.get(key)}, but without faults {expected.get(key)} ({len(wrong)} differ)"


def stage_runs_are_executed_once(ended: Ended) -> Iterator[str]:
    """No two trials say that they executed the same stage run."""
    executed = Counter(
        run["identity"]
        for event in ended.events
        if isinstance(event, Finished) and event.outcome == "COMPLETED"
        for run in event.runs.values()
        if not run["reused"]
    )
    yield from (f"stage run {name} was executed {count} times" for name, count in executed.items() if count > 1)


def artifacts_are_intact(ended: Ended) -> Iterator[str]:
    """As `python -m storage.verify` has it."""
    keys = tuple(ended.store.list(""))
    promised, damages = verify.promises(ended.store, keys)
    found = (verify.check_object(ended.store, key, promise) for key, promise in promised.items())
    damages += [damage for damage in found if damage is not None]
    yield from (f"{damage.key}: {damage.what}" for damage in [*damages, *verify.event_gaps(keys)])


def mlflow_has_all_once(ended: Ended) -> Iterator[str]:
    """A finished run for the study and for each trial, and each epoch's values once."""
    client = connected(ended.scene.tracking)
    try:
        parent, children = runs_of(client, ended.study.name)
    except (AssertionError, ValueError) as error:
        yield f"MLflow: {error}"
        return
    if children.keys() != ended.expected.trials.keys():
        yield f"MLflow has runs of {sorted(children)}"
    unfinished = [run.info.run_name for run in (parent, *children.values()) if run.info.status != "FINISHED"]
    completed = {name for name, facts in ended.facts.trials.items() if facts["outcome"] == "COMPLETED"}
    if wrong := [name for name in unfinished if name in completed or name == parent.info.run_name]:
        yield f"MLflow: {wrong} are not finished"
    actual, expected = mirrored(client, children), recorded(ended.events)
    if actual != expected:
        missing, more = (list((a - b).items())[:_SHOWN] for a, b in ((expected, actual), (actual, expected)))
        yield f"MLflow misses {missing} and has {more} more"
    told = int(parent.data.tags["mindsweep.events"])
    if told != len(ended.events):
        yield f"MLflow's study has {told} of {len(ended.events)} events"


def journal_has_all_once(ended: Ended) -> Iterator[str]:
    """The Optuna journal of a sweep has each point once, beside failed ones that were started again."""
    if not ended.study.has_optuna_journal:
        return
    path = ended.scene.home / "optuna" / f"{ended.study.id}.log"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = optuna.load_study(study_name=ended.study.id, storage=JournalStorage(JournalFileBackend(str(path)))).trials
    failed = optuna.trial.TrialState.FAIL
    points = sorted(trial.user_attrs["point"] for trial in trials if trial.state != failed)
    expected = sorted({facts["point"] for facts in ended.facts.trials.values()})
    if points != expected:
        yield f"the Optuna journal has the points {points}, the study {expected}"
    if not ended.forgiven and any(trial.state == failed for trial in trials):
        yield "the Optuna journal has failed trials"


def tables_have_all_once(ended: Ended) -> Iterator[str]:
    """The Parquet tables are those of all events."""
    values = Counter(
        (e.trial, row["stage"], row["epoch"], name)
        for e in ended.events
        if isinstance(e, Epochs)
        for row in e.rows
        for name in row["metrics"]
    )
    read = {
        name: pq.read_table(io.BytesIO(ended.store.get(layout.record(ended.study.id, f"{name}.parquet"))))
        for name in ("trials", "epochs")
    }
    trials = sorted(read["trials"].column("trial").to_pylist())
    if trials != sorted(ended.facts.trials):
        yield f"trials.parquet has {trials}"
    columns = (read["epochs"].column(name).to_pylist() for name in ("trial", "stage", "epoch", "metric"))
    if Counter(zip(*columns, strict=True)) != values:
        yield "epochs.parquet has other rows than the events"
    for name, table in read.items():
        if (made := int(table.schema.metadata[b"mindsweep.events"])) != len(ended.events):
            yield f"{name}.parquet was made from {made} of {len(ended.events)} events"


def nothing_is_held(ended: Ended) -> Iterator[str]:
    """No lease, no checkpoint, no sign of life."""
    names = {key.split("/")[1] for key in ended.store.list("leases/")}
    yield from (f"lease {name} is held" for name in sorted(names) if holder(ended.store, name) is not None)
    yield from (f"left in the store: {key}" for key in ended.store.list("checkpoints/"))
    yield from (f"left in the store: {key}" for key in ended.store.list(layout.pulses(ended.study.id)))


def gc_leaves_what_is_needed(ended: Ended) -> Iterator[str]:
    """What interrupted writes left is found and removed, and all the rest is needed and stays intact."""

    def garbage() -> list[gc.Garbage]:
        return gc.find_garbage(ended.store, gc.read_contents(ended.store), min_age=-1.0)

    before = garbage()
    yield from (f"no study names {item.name}" for item in before if item.is_kept)
    for item in before:
        if not item.is_kept:
            item.remove()
    yield from (f"gc leaves {item.name}" for item in garbage() if not item.is_kept)
    yield from artifacts_are_intact(ended)


def nothing_is_left_on_the_disk(ended: Ended) -> Iterator[str]:
    """Scratch, spool and the temporary folder are empty; the home has what the README names."""
    scene, scratch = ended.scene, ended.scene.home / "scratch"
    own = scratch / local_name(ended.study.id, ended.store.uri)
    spool = scene.home / "spool"
    left = [*own.rglob("*"), *(spool.iterdir() if spool.exists() else ()), *scene.temporary.iterdir()]
    left += [path for path in scratch.glob("*") if path.name not in ("cache", own.name)]
    left += [path for path in scene.home.iterdir() if path.suffix in (".new", ".tmp")]
    yield from (f"left on the disk: {path.relative_to(scene.folder)}" for path in left)


def no_process_is_left(ended: Ended) -> Iterator[str]:
    """Of drivers, workers, and the Ray that drivers started."""
    end = time.monotonic() + _PATIENCE
    while (left := processes_of(ended.scene.folder.name)) and time.monotonic() < end:
        time.sleep(0.3)
    for process in left:
        try:
            yield f"process {process.pid} is left: {' '.join(process.cmdline())[:200]}"
        except psutil.Error:
            continue


def cluster_is_free(ended: Ended) -> Iterator[str]:
    """A cluster that outlives its drivers has all its CPUs and no placement group."""
    if ended.scene.kind.where != "nodes":
        return
    command = [sys.executable, "-m", "tests.chaos.cluster_state", ended.scene.servers.nodes.address]
    environment = dict(ended.scene.environment)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=120)
    held = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": done.stderr[-500:]}
    yield from (f"the cluster still has {name}: {value}" for name, value in held.items() if value)


CHECKS: tuple[Callable[[Ended], Iterator[str]], ...] = (
    no_process_is_left,
    events_are_complete,
    epochs_are_recorded_once,
    results_are_those_without_faults,
    stage_runs_are_executed_once,
    artifacts_are_intact,
    mlflow_has_all_once,
    journal_has_all_once,
    tables_have_all_once,
    nothing_is_held,
    nothing_is_left_on_the_disk,
    gc_leaves_what_is_needed,
    cluster_is_free,
)


def problems(ended: Ended) -> list[str]:
    """Return what is wrong, by all checks; a check that breaks is a problem, too."""
    found = []
    with variables(ended.scene.servers.environment(ended.scene.kind)):
        for check in CHECKS:
            try:
                found += [f"{check.__name__}: {text}" for text in check(ended)]
            except Exception as error:
                found.append(f"{check.__name__}: {type(error).__name__}: {error}")
    return found
