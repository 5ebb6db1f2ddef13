"""The reducer from the events of a trial to its record. Resume, views, tables, status and reports all use it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from platform.events import Epochs, Finished, Outcome, Proposed, Started, TrialEvent


@dataclass
class TrialRecord:
    """The current state of a trial. Only `absorb` and `reopen` change it."""

    trial: str
    events: int = 0
    """The number of the next event."""
    proposed: Proposed | None = None
    """The last proposal: a trial that is continued by another version of the code is proposed again."""
    began: float | None = None
    """When the first attempt started, in seconds since 1970."""
    attempts: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    """Cause of failure to the number of retries because of it."""
    rows: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    """(stage, epoch) to its first row: an epoch that is repeated after a crash does not replace it."""
    latest: Mapping[str, Any] | None = None
    """The last reported row."""
    finished: Finished | None = None
    time: float = 0.0
    """The time of the last event, in seconds since 1970."""

    def absorb(self, event: TrialEvent) -> bool:
        """Add one event; events must be in order. Return False, without a change, if it was added before."""
        if event.sequence < self.events:
            return False
        self.events, self.time = event.sequence + 1, event.time
        if isinstance(event, Proposed):
            self.proposed = event
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Epochs):
            self._add(event.rows)
        elif isinstance(event, Finished):
            self.finished = event
        return True

    def _start(self, event: Started) -> None:
        if self.finished is not None:
            self.reopen()
        self.began = event.time if self.began is None else self.began
        self.attempts = event.attempt
        if event.after is not None:
            self.retries[event.after.cause] += 1

    def reopen(self) -> None:
        """Take back the end of the trial, which is to be started again; it may be retried as often as a new one."""
        self.finished = None
        self.retries.clear()

    def _add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.rows.setdefault((row["stage"], row["epoch"]), row)
            self.latest = row

    @property
    def runs(self) -> bool:
        """Whether the trial has begun and has not ended, according to its events."""
        return self.finished is None and (self.attempts > 0 or self.latest is not None)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome; None until the trial is finished."""
        return None if self.finished is None else self.finished.outcome

    def unrecorded(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return those of `rows` that are not recorded: a trial that is continued reports earlier rows again."""
        return [row for row in rows if (row["stage"], row["epoch"]) not in self.rows]

    def curve(self, target: str) -> dict[int, float]:
        """Return epoch to value of `target` (`stage.metric`), for the epochs that were reported."""
        stage, _, metric = target.partition(".")
        rows = (row for (at, _), row in self.rows.items() if at == stage and metric in row["metrics"])
        return {row["epoch"]: row["metrics"][metric] for row in rows}

    def last_metrics(self) -> dict[str, float]:
        """Return `stage.metric` to its value at the last recorded epoch of each stage."""
        last = {row["stage"]: row["metrics"] for row in self.rows.values()}
        return {f"{stage}.{name}": value for stage, metrics in last.items() for name, value in metrics.items()}


def reduce_events(events: Iterable[TrialEvent]) -> dict[str, TrialRecord]:
    """Return trial to record for all trials in `events`, in the order in which the trials first appear.

    Example:
        >>> from platform.events import Started
        >>> reduce_events([Started(trial="t0000", sequence=0, time=0.0, attempt=1)])["t0000"].attempts
        1
    """
    records: dict[str, TrialRecord] = {}
    for event in events:
        if event.trial not in records:
            records[event.trial] = TrialRecord(event.trial)
        records[event.trial].absorb(event)
    return records
