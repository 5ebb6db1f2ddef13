"""All events of a study in memory, and the thread that writes new events: first to the store, then to the views."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from statistics import fmean
from typing import Any, TypeVar

from platform.events import Outcome, TrialEvent, View
from platform.record.results import Result, averaged, outcomes, ranked, results_of
from platform.record.spool import Spool
from platform.record.trial_record import TrialRecord
from platform.study.outcome_constraints import violated_by
from platform.study.study import Study
from storage.events import EventLog
from trainables.spec import TrialSpec

Event = TypeVar("Event", bound=TrialEvent)
_log = logging.getLogger(__name__)
_SLOW = 1.0
"""Seconds after which a store counts as not responding."""
_WORST_FIRST: tuple[Outcome, ...] = ("FAILED", "PRUNED")
BEST_POINTS = 5
"""The number of best points in a summary."""


@dataclass(frozen=True)
class PointResult:
    """The result of a point after all its repeats are finished."""

    point: int
    swept: Mapping[str, Any]
    """Swept field to value."""
    outcome: Outcome
    """FAILED if any repeat failed, else PRUNED if any repeat was pruned, else COMPLETED."""
    values: tuple[float, ...]
    """The mean of each target over the repeats; empty unless completed, or if its system has no value of a target."""
    intermediate: Mapping[int, float]
    """Epoch to the first target's mean over the repeats, for the epochs that all repeats reached."""
    excesses: Mapping[str, float] = field(default_factory=dict)
    """Metric of each outcome constraint to the amount by which its mean exceeds the bound; empty unless completed."""


class Records:
    """All events of a study, in memory: adds past events, and creates new events with their number within the trial."""

    def __init__(self, study: Study, past: Iterable[TrialEvent] = ()) -> None:
        self._study = study
        self.events: list[TrialEvent] = []
        self.trials: dict[str, TrialRecord] = {}
        self._latest = 0.0
        """The time of the latest event."""
        for event in past:
            self.absorb(event)

    def absorb(self, event: TrialEvent) -> TrialRecord:
        """Add one event. The events of a trial must be in order; an event that was added before is ignored."""
        record = self.trials.setdefault(event.trial, TrialRecord(event.trial))
        if record.absorb(event):
            self.events.append(event)
            self._latest = max(self._latest, event.time)
        return record

    def new(self, kind: type[Event], trial: str, body: Mapping[str, Any]) -> Event:
        """Create the next event of `trial` from its JSON `body`, with the current time, and add it.

        The time is later than that of all events so far: their order must not depend on the clocks of two machines.
        """
        number = self.trials[trial].events if trial in self.trials else 0
        now = max(time.time(), math.nextafter(self._latest, math.inf))
        event = kind.read({"trial": trial, "sequence": number, "time": now}, body)
        self.absorb(event)
        return event

    def finished(self) -> dict[str, TrialRecord]:
        """Return the finished trials by name."""
        return {name: record for name, record in self.trials.items() if record.finished is not None}

    def reopen_failed(self) -> None:
        """Take back the ends of failed trials. Their events stay; the next one says that the trial is started again."""
        for record in self.trials.values():
            if record.outcome == "FAILED":
                record.reopen()

    def curves(self) -> dict[str, dict[int, float]]:
        """Return the values on which a scheduler has decided: trial to epoch to the first target's value.

        The last epoch of a trial that has not ended is left out. Its decision may have been lost with a killed driver,
        and the trial reports it again.
        """
        target = self._study.targets[0].name
        curves = {name: record.curve(target) for name, record in self.trials.items()}
        for name, curve in curves.items():
            if curve and self.trials[name].finished is None:
                del curve[max(curve)]
        return curves

    def values(self) -> dict[int, Mapping[str, Any]]:
        """Return every proposed point, in order, with its values."""
        proposed = (record.proposed for record in self.trials.values())
        points = {proposal.point: proposal.values for proposal in proposed if proposal is not None}
        return dict(sorted(points.items()))

    def result(self, point: int) -> PointResult | None:
        """Return the result of `point`, or None while one of its repeats is not finished."""
        names = (self._study.trial_name(point, repeat) for repeat in range(self._study.repeats))
        repeats = [self.trials[name] for name in names if name in self.trials]  # by name: no loop over all trials
        ends = [record.finished for record in repeats if record.finished is not None]
        if len(ends) < self._study.repeats:
            return None
        outcomes_seen = {end.outcome for end in ends}
        outcome: Outcome = next((outcome for outcome in _WORST_FIRST if outcome in outcomes_seen), "COMPLETED")
        targets = [target.name for target in self._study.targets] if outcome == "COMPLETED" else []
        has_all = all(name in end.metrics for name in targets for end in ends)
        values = tuple(fmean(end.metrics[name] for end in ends) for name in targets) if has_all else ()
        curves = [record.curve(self._study.targets[0].name) for record in repeats]
        reached = set.intersection(*map(set, curves))
        curve = {epoch: fmean(curve[epoch] for curve in curves) for epoch in sorted(reached)}
        proposal = repeats[0].proposed
        assert proposal is not None, "a trial is proposed before it can finish"
        excesses = self._excesses([end.metrics for end in ends]) if outcome == "COMPLETED" else {}
        return PointResult(point, proposal.values, outcome, values, curve, excesses)

    def _excesses(self, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
        constraints = self._study.outcome_constraints
        bounded = [each.metric.name for each in constraints]
        means = {name: fmean(values.get(name, math.nan) for values in metrics) for name in bounded}
        return {each.metric.name: each.excess(means) for each in constraints}


def proposed_body(
    spec: TrialSpec, *, point: int, repeat: int, values: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the body of a `Proposed` event."""
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
        """Start the thread. The `spool` keeps the events that the log does not have yet."""
        self._log = log
        self._views = list(views)
        self._spool = spool
        self._asked: float | None = None
        """When the log was called, while it has not responded; else None. Monotonic clock."""
        self._queue: SimpleQueue[TrialEvent | None] = SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def replay(self, events: Iterable[TrialEvent]) -> None:
        """Send all past events to the views, which skip those that they have. Call it only before the first `put`."""
        for event in events:
            self._show(event)

    def put(self, event: TrialEvent) -> None:
        """Queue an event. Raises the error of an earlier event, mostly a `StoreError`; the spool keeps this one."""
        self._spool.add(event)
        if self._asked is not None and time.monotonic() - self._asked > _SLOW:
            self._spool.secure()
        if self._error is not None:
            raise self._error
        self._queue.put(event)

    def close(self) -> None:
        """Write the queued events and close the views. Raises the error of an event, mostly a `StoreError`."""
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
            except Exception as error:  # also one of our own: a thread that dies of it would lose events silently
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
            except Exception as error:  # the events are recorded: a view must not stop the study
                _log.warning("%s failed and gets no more events: %s", type(view).__name__, error)
                self._views.remove(view)


@dataclass(frozen=True)
class Summary:
    """The state of a study after a call of `run_study`."""

    study: str
    trials: Mapping[str, int]
    """Outcome to number of trials, `unfinished` included."""
    best: tuple[Mapping[str, Any], ...]
    """{trial, values, metrics}, best first, metrics averaged over repeats; `violated` lists outcome constraints."""
    stage_runs: Mapping[str, int]
    """Stage runs executed and reused by this call."""
    seconds: float
    """Wall time of this call."""
    interrupted: bool = False
    message: str | None = None
    """Why fewer points were tried than requested; else None."""

    @property
    def exit_code(self) -> int:
        """130 if the user stopped the study, 1 if it has no completed trial, else 0."""
        if self.interrupted:
            return 130
        return 0 if self.trials["completed"] > 0 else 1

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def _entry(study: Study, result: Result) -> dict[str, Any]:
    entry = {"trial": result.trial, "values": dict(result.values), "metrics": dict(result.metrics)}
    violated = violated_by(result.metrics, study.outcome_constraints)
    return {**entry, **({"violated": list(violated)} if violated else {})}


def summarise_study(study: Study, records: Records, *, stage_runs: Mapping[str, int], seconds: float) -> Summary:
    """Return the summary of `study` from its `records`."""
    results = results_of(records.trials.values())
    best = ranked(averaged(results), study.targets, study.outcome_constraints)[:BEST_POINTS]
    entries = tuple(_entry(study, result) for result in best)
    return Summary(study.id, outcomes(results), entries, dict(stage_runs), seconds)
