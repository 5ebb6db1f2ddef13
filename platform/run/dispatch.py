"""Which trial runs next, and what its reports mean: the study's state machine, without Ray.

Every step becomes an event, so that a driver that dies at any moment leaves a record from which the next one goes on:
finished trials stay as they are, the others are handed out again under their old names and values.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform.events import Epochs, Finished, Proposed, Started, TrialEvent
from platform.record.trial_log import Recorder, Records, proposed_body
from platform.run.halve_batch import halved
from platform.run.proposer import Proposer
from platform.run.run_leases import Claims
from platform.study.study import Study
from trainables.failure import Cause
from trainables.spec import TrialSpec

RETRIES: Mapping[Cause, int] = {"WORKER_LOST": 2, "NODE_LOST": 2, "STORE_LOST": 2, "OUT_OF_MEMORY": 1}
"""How often a trial is started again after each cause, counted by itself; after all others never.

What came from outside may not come again. Too little memory may be a neighbour's doing, once. The same loss diverges
again, the same code hangs or fails again, and a full disk stays full.
"""


@dataclass(frozen=True)
class Tools:
    """What a dispatcher works with."""

    proposer: Proposer
    records: Records
    recorder: Recorder
    claims: Claims


@dataclass
class _Turn:
    """A trial that was handed out."""

    spec: TrialSpec
    began: float
    """By the monotonic clock: when it was handed out, then when a worker began."""


class Dispatcher:
    """Hands out trials and takes in what they report. Used from one thread."""

    def __init__(self, study: Study, tools: Tools) -> None:
        """Rebuild the proposer from the records, which may hold events of earlier processes."""
        self._study = study
        self._tools = tools
        self.concurrent = 1
        """Most trials at a time."""
        self._running: dict[str, _Turn] = {}
        self._due: dict[str, float] = {}
        """Since when a trial could have been handed out, by the monotonic clock."""
        self._queued: dict[str, float] = defaultdict(float)
        """Seconds that a trial waited, over all its attempts."""
        self._failures: dict[str, dict[str, Any]] = {}
        """Why a trial is to be started once more."""
        self.reused = 0
        """Stage runs that finished trials of this process found in the store."""
        self.executed = 0
        restore_proposer(tools.proposer, tools.records, repeats=study.repeats)
        self._waiting = [spec for point, values in tools.records.values().items() for spec in self._open(point, values)]

    @property
    def claims(self) -> Claims:
        """Who makes which stage run now."""
        return self._tools.claims

    @property
    def exhausted(self) -> str | None:
        """Why fewer points come than were asked for, once that is so."""
        return self._tools.proposer.exhausted

    def next(self) -> TrialSpec | None:
        """Return a trial to start now; None if enough run, what waits is made elsewhere, or all is done."""
        if len(self._running) >= self.concurrent:
            return None
        for position, spec in enumerate(self._waiting):
            if self._claim(spec):
                return self._waiting.pop(position)
        while len(self._waiting) < self.concurrent and self._propose():
            if self._claim(self._waiting[-self._study.repeats]):
                return self._waiting.pop(-self._study.repeats)
        return None

    def has_work(self) -> bool:
        """Tell whether there is any trial to run, proposing one if need be."""
        return len(self._waiting) > 0 or self._propose()

    @property
    def done(self) -> bool:
        """Whether no trial runs or waits, and none will be proposed. Only meaningful after `next` returned None."""
        return not self._running and not self._waiting

    def started(self, trial: str) -> None:
        """Note that a worker begins with `trial`, for the first time or once more."""
        now = time.monotonic()
        self._running[trial].began = now
        self._queued[trial] += now - self._due.pop(trial, now)
        attempts = self._tools.records.trials[trial].attempts
        after = {"after": self._failures.pop(trial)} if trial in self._failures else {}
        self._record(Started, trial, {"attempt": attempts + 1, **after})

    def rows(self, trial: str, rows: Iterable[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]] = ()) -> None:
        """Take in metrics per epoch, and what the worker used meanwhile; rows that are recorded are left out."""
        new = self._tools.records.trials[trial].unrecorded(rows)
        if new or samples:
            used = {"samples": list(samples)} if samples else {}
            self._record(Epochs, trial, {"rows": new, **used})

    def ended(self, trial: str, end: Mapping[str, Any]) -> None:
        """Take in the end of `trial`: outcome, metrics, runs, error, seconds. Some failures earn another attempt."""
        turn = self._running.pop(trial)
        self._tools.claims.drop(trial)
        if self._again(turn.spec, end):
            return
        record = self._tools.records.trials[trial]
        times = {"queue": self._queued.pop(trial, 0.0), **end.get("time", {})}
        tried = {"attempts": record.attempts, **({"retries": dict(record.retries)} if record.retries else {})}
        step = max(record.curve(self._study.targets[0].name), default=None)
        self._record(Finished, trial, {**end, "step": step, "time": times, **tried})
        reused = sum(run["reused"] for run in end["runs"].values())
        self.reused += reused
        self.executed += len(end["runs"]) - reused
        proposed = self._tools.records.trials[trial].proposed
        assert proposed is not None
        result = self._tools.records.result(proposed.point)
        if result is not None:
            self._tools.proposer.tell(result)

    def stopped(self, trial: str) -> None:
        """Take in that the scheduler stopped `trial` early."""
        metrics = self._tools.records.trials[trial].last_metrics()
        self.ended(trial, self._end(trial, "PRUNED", metrics, None))

    def failed(self, trial: str, error: str, cause: Cause) -> None:
        """Take in that the worker on `trial` came to an end without a word."""
        self.ended(trial, {**self._end(trial, "FAILED", {}, error), "cause": cause})

    def put_back(self, trial: str) -> None:
        """Take back a trial that was handed out and has not begun; it is the next one again."""
        self._waiting.insert(0, self._running.pop(trial).spec)
        self._tools.claims.drop(trial)

    def _end(self, trial: str, outcome: str, metrics: Mapping[str, float], error: str | None) -> dict[str, Any]:
        seconds = time.monotonic() - self._running[trial].began
        return {"outcome": outcome, "metrics": metrics, "runs": {}, "error": error, "seconds": seconds}

    def _again(self, spec: TrialSpec, end: Mapping[str, Any]) -> bool:
        """Put a failed trial first in the queue if its cause allows for one more attempt."""
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

    def _claim(self, spec: TrialSpec) -> bool:
        claimed = self._tools.claims.take(spec.trial, (run.identity for run in spec.runs))
        if claimed:
            self._running[spec.trial] = _Turn(spec, time.monotonic())
        return claimed

    def _propose(self) -> bool:
        """Append the trials of one more point to those that wait."""
        proposal = self._tools.proposer.ask()
        if proposal is None:
            return False
        self._waiting += self._open(proposal.point, proposal.values)
        return True

    def _open(self, point: int, values: Mapping[str, Any]) -> list[TrialSpec]:
        """Return the unfinished trials of `point`, recorded as proposed."""
        if point >= self._study.trials:
            return []
        specs = []
        for repeat in range(self._study.repeats):
            spec = self._study.spec(point, repeat, dict(values))
            known = self._tools.records.trials.get(spec.trial)
            if known is not None and known.finished is not None:
                continue
            labels = self._study.labels(repeat, dict(values))
            body = proposed_body(spec, point=point, repeat=repeat, values=values, labels=labels)
            if known is None or known.proposed is None or known.proposed.body != body:
                self._record(Proposed, spec.trial, body)
            self._due[spec.trial] = time.monotonic()
            short = known is not None and known.retries["OUT_OF_MEMORY"] > 0
            specs.append(halved(spec, None)[0] if short else spec)
        return specs

    def _record(self, kind: type[TrialEvent], trial: str, body: Mapping[str, Any]) -> None:
        self._tools.recorder.put(self._tools.records.new(kind, trial, body))


def restore_proposer(proposer: Proposer, records: Records, *, repeats: int) -> None:
    """Bring a new proposer to where it was after the events of `records`, in the order in which they happened."""
    values = records.values()
    known: set[int] = set()
    finished: dict[int, int] = {}
    for event in sorted(records.events, key=lambda event: event.time):
        proposed = records.trials[event.trial].proposed
        if proposed is None or not isinstance(event, Proposed | Finished):
            continue
        point = proposed.point
        if point not in known:
            known.add(point)
            proposer.restore(point, values[point])
        if isinstance(event, Finished):
            finished[point] = finished.get(point, 0) + 1
            result = records.result(point) if finished[point] == repeats else None
            if result is not None:
                proposer.tell(result)
