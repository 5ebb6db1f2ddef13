"""Which trial runs next, and what its reports mean: the study's state machine, without Ray.

Every step becomes an event, so that a driver that dies at any moment leaves a record from which the next one goes on:
finished trials stay as they are, the others are handed out again under their old names and values.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from platform.definition.study import Study
from platform.events import Kind
from platform.running.claims import Claims
from platform.running.proposer import Proposer
from platform.running.records import Recorder, Records, proposed_body
from trainables.spec import TrialSpec


@dataclass(frozen=True)
class Tools:
    """What a dispatcher works with."""

    proposer: Proposer
    records: Records
    recorder: Recorder
    claims: Claims


class Dispatcher:
    """Hands out trials and takes in what they report. Used from one thread."""

    def __init__(self, study: Study, tools: Tools) -> None:
        """Rebuild the proposer from the records, which may hold events of earlier processes."""
        self._study = study
        self._tools = tools
        self.concurrent = 1
        """Most trials at a time."""
        self._running: dict[str, float] = {}
        self.reused = 0
        """Stage runs that finished trials of this process found in the store."""
        self.executed = 0
        restore(tools.proposer, tools.records, repeats=study.repeats)
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
        """Note that a worker begins with `trial`, for the first time or again after a worker was lost."""
        self._running[trial] = time.monotonic()
        attempts = self._tools.records.trials[trial].attempts
        self._record(trial, "started", {"attempt": attempts + 1})

    def rows(self, trial: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in metrics per epoch; those that are recorded already are left out."""
        new = self._tools.records.unrecorded(trial, rows)
        if new:
            self._record(trial, "epochs", {"rows": new})

    def ended(self, trial: str, end: Mapping[str, Any]) -> None:
        """Take in the end of `trial`: its outcome, metrics, runs, error and seconds."""
        self._running.pop(trial, None)
        self._tools.claims.drop(trial)
        self._record(trial, "finished", {**end, "step": max(self._tools.records.trials[trial].curve, default=None)})
        reused = sum(run["reused"] for run in end["runs"].values())
        self.reused += reused
        self.executed += len(end["runs"]) - reused
        proposed = self._tools.records.trials[trial].proposed
        assert proposed is not None
        result = self._tools.records.result(proposed["point"])
        if result is not None:
            self._tools.proposer.tell(result)

    def stopped(self, trial: str) -> None:
        """Take in that the scheduler stopped `trial` early."""
        last = self._tools.records.trials[trial].last
        metrics = {f"{stage}.{name}": value for stage, row in last.items() for name, value in row.items()}
        self.ended(trial, self._end(trial, "PRUNED", metrics, None))

    def failed(self, trial: str, error: str) -> None:
        """Take in that `trial` was lost with its worker, for good."""
        self.ended(trial, self._end(trial, "FAILED", {}, error))

    def _end(self, trial: str, outcome: str, metrics: Mapping[str, float], error: str | None) -> dict[str, Any]:
        seconds = time.monotonic() - self._running.get(trial, time.monotonic())
        return {"outcome": outcome, "metrics": metrics, "runs": {}, "error": error, "seconds": seconds}

    def _claim(self, spec: TrialSpec) -> bool:
        claimed = self._tools.claims.take(spec.trial, (run.identity for run in spec.runs))
        if claimed:
            self._running[spec.trial] = time.monotonic()
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
            if known is None or known.proposed != body:
                self._record(spec.trial, "proposed", body)
            specs.append(spec)
        return specs

    def _record(self, trial: str, kind: Kind, body: Mapping[str, Any]) -> None:
        self._tools.recorder.put(self._tools.records.new(trial, kind, body))


def restore(proposer: Proposer, records: Records, *, repeats: int) -> None:
    """Bring a new proposer to where it was after the events of `records`, in the order in which they happened."""
    values = records.values()
    known: set[int] = set()
    finished: dict[int, int] = {}
    for event in sorted(records.events, key=lambda event: event.time):
        proposed = records.trials[event.trial].proposed
        if proposed is None or event.kind not in ("proposed", "finished"):
            continue
        point = proposed["point"]
        if point not in known:
            known.add(point)
            proposer.restore(point, values[point])
        if event.kind == "finished":
            finished[point] = finished.get(point, 0) + 1
            result = records.result(point) if finished[point] == repeats else None
            if result is not None:
                proposer.tell(result)
