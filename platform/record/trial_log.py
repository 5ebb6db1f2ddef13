"""What a study's events add up to, and the one thread that writes them: to the store first, then to the views."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from statistics import fmean
from typing import Any

from platform.events import Kind, Outcome, TrialEvent, View
from platform.record.results import averaged, collect, outcomes, ranked
from platform.record.spool import Spool
from platform.study.study import Study
from storage.errors import StoreError
from storage.events import EventLog
from trainables.spec import TrialSpec

_log = logging.getLogger(__name__)
_SLOW = 1.0
"""Seconds after which a store counts as one that does not answer."""
BEST = 5
"""How many of the best points a summary names."""


@dataclass
class TrialRecord:
    """One trial so far."""

    name: str
    proposed: Mapping[str, Any] | None = None
    """Body of its last `proposed` event."""
    events: int = 0
    attempts: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    """Cause to how often it was started again because of it."""
    rows: set[tuple[str, int]] = field(default_factory=set)
    """(stage, epoch) that are recorded."""
    curve: dict[int, float] = field(default_factory=dict)
    """Epoch of the first target's stage to the target's value."""
    last: dict[str, dict[str, float]] = field(default_factory=dict)
    """Stage to the metrics of its last recorded epoch."""
    finished: Mapping[str, Any] | None = None
    """Body of its `finished` event."""


@dataclass(frozen=True)
class PointResult:
    """What came of a point once all its repeats are finished."""

    point: int
    swept: Mapping[str, Any]
    """Swept field to value."""
    outcome: Outcome
    """FAILED if any repeat failed, else PRUNED if any was, else COMPLETED."""
    values: tuple[float, ...]
    """The mean of each target over the repeats; empty unless completed."""
    intermediate: Mapping[int, float]
    """Epoch to the first target's mean over the repeats, for the epochs that all of them reached."""


class Records:
    """All events of a study, in memory: past ones are absorbed, new ones are made here, numbered within their trial."""

    def __init__(self, study: Study, past: Iterable[TrialEvent] = ()) -> None:
        self._study = study
        self.events: list[TrialEvent] = []
        self.trials: dict[str, TrialRecord] = {}
        for event in past:
            self.absorb(event)

    def absorb(self, event: TrialEvent) -> TrialRecord:
        """Take in one event, in order within its trial; one that was seen before changes nothing."""
        record = self.trials.setdefault(event.trial, TrialRecord(event.trial))
        if event.sequence < record.events:
            return record
        self.events.append(event)
        record.events = event.sequence + 1
        if event.kind == "proposed":
            record.proposed = event.body
        elif event.kind == "started":
            record.attempts = event.body["attempt"]
            if "after" in event.body:
                record.retries[event.body["after"]["cause"]] += 1
        elif event.kind == "epochs":
            self._absorb_rows(record, event.body["rows"])
        elif event.kind == "finished":
            record.finished = event.body
        return record

    def new(self, trial: str, kind: Kind, body: Mapping[str, Any]) -> TrialEvent:
        """Make the next event of `trial`, now, and absorb it."""
        number = self.trials[trial].events if trial in self.trials else 0
        event = TrialEvent(trial, number, kind, time.time(), body)
        self.absorb(event)
        return event

    def unrecorded(self, trial: str, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return those of `rows` that no event holds: a trial that continues repeats what it had reported."""
        known = self.trials[trial].rows
        return [row for row in rows if (row["stage"], row["epoch"]) not in known]

    def finished(self) -> dict[str, TrialRecord]:
        """Return the finished trials by name."""
        return {name: record for name, record in self.trials.items() if record.finished is not None}

    def values(self) -> dict[int, Mapping[str, Any]]:
        """Return every proposed point, in order, with its values."""
        proposed = (record.proposed for record in self.trials.values())
        points = {body["point"]: body["values"] for body in proposed if body is not None}
        return dict(sorted(points.items()))

    def result(self, point: int) -> PointResult | None:
        """Return what came of `point`, or None while a repeat of it is not finished."""
        names = (self._study.trial_name(point, repeat) for repeat in range(self._study.repeats))
        repeats = [self.trials[name] for name in names if name in self.trials]  # not all trials are gone through
        done = [record.finished for record in repeats if record.finished is not None]
        if len(done) < self._study.repeats:
            return None
        seen = {body["outcome"] for body in done}
        outcome: Outcome = "FAILED" if "FAILED" in seen else "PRUNED" if "PRUNED" in seen else "COMPLETED"
        targets = [target.name for target in self._study.targets] if outcome == "COMPLETED" else []
        values = tuple(fmean(body["metrics"][name] for body in done) for name in targets)
        reached = set.intersection(*(set(record.curve) for record in repeats))
        curve = {epoch: fmean(record.curve[epoch] for record in repeats) for epoch in sorted(reached)}
        assert repeats[0].proposed is not None, "a trial is proposed before it can finish"
        return PointResult(point, repeats[0].proposed["values"], outcome, values, curve)

    def _absorb_rows(self, record: TrialRecord, rows: Sequence[Mapping[str, Any]]) -> None:
        stage, _, metric = self._study.targets[0].name.partition(".")
        for row in rows:
            record.rows.add((row["stage"], row["epoch"]))
            record.last[row["stage"]] = row["metrics"]
            if row["stage"] == stage and metric in row["metrics"]:
                record.curve[row["epoch"]] = row["metrics"][metric]


def proposed_body(
    spec: TrialSpec, *, point: int, repeat: int, values: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the body of a `proposed` event."""
    runs = [run.to_json() for run in spec.runs]
    labelled = {"labels": dict(labels)} if labels else {}
    return {
        "point": point,
        "repeat": repeat,
        "seed": spec.seed,
        "values": dict(values),
        "config": dict(spec.config),
        "runs": runs,
        **labelled,
    }


class Recorder:
    """Writes events in one thread: each to the store, and only then to the views."""

    def __init__(self, log: EventLog, views: Sequence[View], spool: Spool) -> None:
        """Start the thread; what the log has not taken yet waits in the `spool`."""
        self._log = log
        self._views = list(views)
        self._spool = spool
        self._asked: float | None = None
        """Since when the log has not answered, by the monotonic clock."""
        self._queue: SimpleQueue[TrialEvent | None] = SimpleQueue()
        self._error: StoreError | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def replay(self, events: Iterable[TrialEvent]) -> None:
        """Show the views, which know what they have, all past events. Only before the first `put`."""
        for event in events:
            self._show(event)

    def put(self, event: TrialEvent) -> None:
        """Queue an event. Raises the `StoreError` that an earlier one met; the event is kept all the same."""
        self._spool.add(event)
        if self._asked is not None and time.monotonic() - self._asked > _SLOW:
            self._spool.secure()
        if self._error is not None:
            raise self._error
        self._queue.put(event)

    def close(self) -> None:
        """Write what is queued and close the views. Raises the `StoreError` that an event met."""
        self._queue.put(None)
        self._thread.join()
        self._spool.close()
        for view in self._views:
            view.close()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            if self._error is not None:
                continue
            self._asked = time.monotonic()
            try:
                self._log.append(event.trial, event.sequence, event.to_json())
            except StoreError as error:
                self._error = error
                self._spool.secure()
                continue
            self._asked = None
            self._spool.delivered()
            self._show(event)

    def _show(self, event: TrialEvent) -> None:
        for view in list(self._views):
            try:
                view.see(event)
            except Exception as error:  # a view must not stop a study whose record is safe
                _log.warning("%s is left out from now on: %s", type(view).__name__, error)
                self._views.remove(view)


@dataclass(frozen=True)
class Summary:
    """How a study stands after a call of `run_study`."""

    study: str
    trials: Mapping[str, int]
    """Outcome to number of trials, `unfinished` included."""
    best: tuple[Mapping[str, Any], ...]
    """{trial, values, metrics}, best first, metrics averaged over repeats."""
    stage_runs: Mapping[str, int]
    """Stage runs executed and reused by this call."""
    seconds: float
    """Wall time of this call."""
    interrupted: bool = False
    message: str | None = None
    """Why fewer points were tried than asked for."""

    @property
    def exit_code(self) -> int:
        """130 if the user stopped it, 1 if it ended without one completed trial, else 0."""
        if self.interrupted:
            return 130
        return 0 if self.trials["completed"] > 0 else 1

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def summarise(study: Study, records: Records, *, stage_runs: Mapping[str, int], seconds: float) -> Summary:
    """Return how `study` stands by its `records`."""
    results = collect(records.events)
    best = ranked(averaged(results), study.targets)[:BEST]
    entries = tuple({"trial": r.trial, "values": dict(r.values), "metrics": dict(r.metrics)} for r in best)
    return Summary(study.id, outcomes(results), entries, dict(stage_runs), seconds)
