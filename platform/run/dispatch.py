"""The state machine of a study: chooses the next trial and handles the reports of running trials. Without Ray.

Every step is recorded as an event. If a driver dies, the next driver continues from these events: finished trials stay
as they are, and the other trials are started again under the same names and values.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform.errors import StudyError
from platform.events import Epochs, Finished, Proposed, Started
from platform.record.trial_log import Event, Recorder, Records, proposed_body
from platform.run.first_failures import FIRST, FirstFailures
from platform.run.halve_batch import halved
from platform.run.proposer import Proposer
from platform.run.retries import RETRIES
from platform.run.run_leases import RunLeases
from platform.run.stop_rule import StopRule
from platform.study.study import Study
from trainables.failure import Cause
from trainables.spec import TrialSpec

_FAILING = """\
the first {count} trials all failed in the same way, so no other was started: {error}
`python -m platform.status {study}` shows more. Once the cause is mended, --retry-failed tries the failed trials again;
--keep-going tries the others as well."""


@dataclass(frozen=True)
class Tools:
    """The objects that a dispatcher uses."""

    proposer: Proposer
    records: Records
    recorder: Recorder
    leases: RunLeases
    keep_going: bool = False
    """Whether the study goes on if its first trials all fail in the same way."""


@dataclass
class _RunningTrial:
    """A trial that was handed out to a worker."""

    spec: TrialSpec
    began: float
    """The time when it was handed out, then the time when a worker started it. Monotonic clock."""


class Dispatcher:
    """Hands out trials and records their reports. Used from one thread."""

    def __init__(self, study: Study, tools: Tools) -> None:
        """Rebuild the proposer from the records, which may hold events of earlier processes."""
        self._study = study
        self._tools = tools
        self.concurrent = 1
        """The largest number of trials that run at a time."""
        self._running: dict[str, _RunningTrial] = {}
        self._due: dict[str, float] = {}
        """Trial to the time since which it has been ready to be handed out. Monotonic clock."""
        self._queued: dict[str, float] = defaultdict(float)
        """Seconds that a trial waited, summed over all its attempts."""
        self._failures: dict[str, dict[str, Any]] = {}
        """Trial to the failure because of which it is retried."""
        self._unrecorded: Exception | None = None
        """Why an event could not be recorded: the store is lost."""
        self.reused = 0
        """Stage runs that the trials finished by this process reused from the store."""
        self.executed = 0
        ends = (record.finished for record in tools.records.trials.values())
        self._first = FirstFailures(end for end in ends if end is not None)
        self._stop = StopRule(study, tools.records)
        restore_proposer(tools.proposer, tools.records, repeats=study.repeats)
        self._waiting = [spec for point, values in tools.records.values().items() for spec in self._open(point, values)]

    @property
    def leases(self) -> RunLeases:
        """The stage runs that are in progress, and their owners."""
        return self._tools.leases

    @property
    def exhausted(self) -> str | None:
        """Why fewer points than requested are proposed; None while this is not the case."""
        reason = self._tools.proposer.exhausted
        return self._stop.reason if reason is None else reason

    def next(self) -> TrialSpec | None:
        """Return a trial to start now.

        Returns None if enough trials run, if another driver runs the stages that the waiting trials need, or if
        nothing is left to do.

        Raises:
            StudyError: The first trials all failed in the same way, and others are left.
        """
        if len(self._running) >= self.concurrent:
            return None
        if not self._tools.keep_going and (error := self._first.same) is not None and self.has_work():
            raise StudyError(_FAILING.format(count=FIRST, error=error, study=self._study.id))
        for position, spec in enumerate(self._waiting):
            if self._acquire(spec):
                return self._waiting.pop(position)
        while len(self._waiting) < self.concurrent and self._propose():
            if self._acquire(self._waiting[-self._study.repeats]):
                return self._waiting.pop(-self._study.repeats)
        return None

    def has_work(self) -> bool:
        """Return whether there is a trial to run. Proposes one if necessary."""
        return len(self._waiting) > 0 or self._propose()

    @property
    def done(self) -> bool:
        """Whether no trial runs or waits. Valid only after `next` has returned None: then none will be proposed."""
        return not self._running and not self._waiting

    def started(self, trial: str) -> None:
        """Record that a worker starts an attempt at `trial`."""
        now = time.monotonic()
        self._running[trial].began = now
        self._queued[trial] += now - self._due.pop(trial, now)
        attempts = self._tools.records.trials[trial].attempts
        after = {"after": self._failures.pop(trial)} if trial in self._failures else {}
        self._record(Started, trial, {"attempt": attempts + 1, **after})

    def rows(self, trial: str, rows: Iterable[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]] = ()) -> None:
        """Record metrics per epoch, and the worker's resource samples. Rows that are already recorded are skipped."""
        new = self._tools.records.trials[trial].unrecorded(rows)
        if new or samples:
            used = {"samples": list(samples)} if samples else {}
            self._record(Epochs, trial, {"rows": new, **used})

    def ended(self, trial: str, end: Mapping[str, Any]) -> None:
        """Record the end of `trial`: outcome, metrics, runs, error, seconds. Some failures lead to another attempt."""
        turn, unfinished = self._running.pop(trial), self._tools.leases.held(trial)
        self._tools.leases.release(trial)
        if self._again(turn.spec, end):
            return
        if end["outcome"] != "COMPLETED":
            needed = {run.identity for spec in self._waiting for run in spec.runs}
            self._tools.leases.abandon(unfinished - needed)
        record = self._tools.records.trials[trial]
        times = {"queue": self._queued.pop(trial, 0.0), **end.get("time", {})}
        attempts = {"attempts": record.attempts, **({"retries": dict(record.retries)} if record.retries else {})}
        step = max(record.curve(self._study.targets[0].name), default=None)
        self._first.add(self._record(Finished, trial, {**end, "step": step, "time": times, **attempts}))
        reused = sum(run["reused"] for run in end["runs"].values())
        self.reused += reused
        self.executed += len(end["runs"]) - reused
        proposed = self._tools.records.trials[trial].proposed
        assert proposed is not None
        result = self._tools.records.result(proposed.point)
        if result is not None:
            self._tools.proposer.tell(result)
            self._stop.add(result)

    def stopped(self, trial: str) -> None:
        """Record that the scheduler stopped `trial` early."""
        metrics = self._tools.records.trials[trial].last_metrics()
        self.ended(trial, self._end(trial, "PRUNED", metrics, None))

    def failed(self, trial: str, error: str, cause: Cause) -> None:
        """Record that the worker of `trial` ended without a report.

        Raises the error of an earlier event: Tune lets a trial fail whose end this process could not record.
        """
        if self._unrecorded is not None:
            raise self._unrecorded
        self.ended(trial, {**self._end(trial, "FAILED", {}, error), "cause": cause})

    def put_back(self, trial: str) -> None:
        """Return a trial that was handed out but has not begun to the front of the queue."""
        self._waiting.insert(0, self._running.pop(trial).spec)
        self._tools.leases.release(trial)

    def _end(self, trial: str, outcome: str, metrics: Mapping[str, float], error: str | None) -> dict[str, Any]:
        seconds = time.monotonic() - self._running[trial].began
        return {"outcome": outcome, "metrics": metrics, "runs": {}, "error": error, "seconds": seconds}

    def _again(self, spec: TrialSpec, end: Mapping[str, Any]) -> bool:
        """Put a failed trial at the front of the queue if the cause of its failure allows another attempt."""
        cause = end.get("cause")
        if cause is None or self._tools.records.trials[spec.trial].retries[cause] >= RETRIES.get(cause, 0):
            return False
        self._failures[spec.trial] = {"cause": cause, "error": end["error"]}
        if cause == "OUT_OF_MEMORY":
            spec, halves = halved(spec, end.get("stage"))
            if halves:
                self._failures[spec.trial] |= {"micro_batch": halves}
        self._due[spec.trial] = time.monotonic()
        self._waiting.insert(0, spec)
        return True

    def _acquire(self, spec: TrialSpec) -> bool:
        claimed = self._tools.leases.acquire(spec.trial, (run.identity for run in spec.runs))
        if claimed:
            self._running[spec.trial] = _RunningTrial(spec, time.monotonic())
        return claimed

    def _propose(self) -> bool:
        """Append the trials of one more point to the queue, unless a rule of the study has ended the search."""
        if self._stop.reason is not None:
            return False
        proposal = self._tools.proposer.ask()
        if proposal is None:
            return False
        self._waiting += self._open(proposal.point, proposal.values)
        return True

    def _open(self, point: int, values: Mapping[str, Any]) -> list[TrialSpec]:
        """Record the unfinished trials of `point` as proposed, and return them."""
        if point >= self._study.trials:
            return []
        specs = []
        for repeat in range(self._study.repeats):
            spec = self._study.spec(point, repeat, dict(values))
            record = self._tools.records.trials.get(spec.trial)
            if record is not None and record.finished is not None:
                continue
            labels = self._study.labels(repeat, dict(values))
            body = proposed_body(spec, point=point, repeat=repeat, values=values, labels=labels)
            if record is None or record.proposed is None or record.proposed.body != body:
                self._record(Proposed, spec.trial, body)
            self._due[spec.trial] = time.monotonic()
            short = record is not None and record.retries["OUT_OF_MEMORY"] > 0
            specs.append(halved(spec, None)[0] if short else spec)
        return specs

    def _record(self, kind: type[Event], trial: str, body: Mapping[str, Any]) -> Event:
        event = self._tools.records.new(kind, trial, body)
        try:
            self._tools.recorder.put(event)
        except Exception as error:
            self._unrecorded = error
            raise
        return event


def restore_proposer(proposer: Proposer, records: Records, *, repeats: int) -> None:
    """Restore the state of the proposer by replaying the events of `records` in the order of their times."""
    values = records.values()
    restored: set[int] = set()
    finished: dict[int, int] = {}
    for event in sorted(records.events, key=lambda event: event.time):
        proposed = records.trials[event.trial].proposed
        if proposed is None or not isinstance(event, Proposed | Finished):
            continue
        point = proposed.point
        if point not in restored:
            restored.add(point)
            proposer.restore(point, values[point])
        if isinstance(event, Finished):
            finished[point] = finished.get(point, 0) + 1
            result = records.result(point) if finished[point] == repeats else None
            if result is not None:
                proposer.tell(result)
