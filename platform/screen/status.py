"""The status of a study, from its records in the store: its driver, and its ended, running and remaining trials.

It reads the first and the last event of each trial and the pulses of running trials, so its cost does not depend on
the number of epochs.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.events import Finished, TrialEvent
from platform.record.results import OUTCOME_WORDS, Result, averaged, outcomes, ranked, results_of
from platform.record.trial_record import TrialRecord, reduce_events
from platform.screen.units import duration
from platform.study.design import BASELINE
from platform.study.outcome_constraints import violated_by
from platform.study.study import Study
from storage.base import Store
from storage.events import EventLog
from storage.lease import holder
from trainables.telemetry import read_pulses

_USED = ("cpu_utilization_percentage", "system_memory_usage_megabytes")
_SHOWN = 20
"""Largest number of running trials in the table."""
_FAILURES_SHOWN = 3


@dataclass(frozen=True)
class RunningWork:
    """A running trial or shared stage run, according to records and pulses."""

    name: str
    stage: str | None
    epoch: int
    value: float | None
    """The first target's last value."""
    silent: float
    """Seconds since the last event or pulse: the difference of the clock here and the worker's clock."""
    idle: float | None
    """Seconds without a new epoch or stage at the last pulse; None before the first pulse."""
    host: str | None
    pid: int | None
    usage: Mapping[str, float]


@dataclass(frozen=True)
class StudyStatus:
    """The status of a study."""

    study: str
    holder: Mapping[str, Any] | None
    """The driver: host, pid, since, command, state; None if there is none."""
    trials: int
    """Requested number of trials."""
    counts: Mapping[str, int]
    """Outcome to number of trials."""
    causes: Mapping[str, int]
    """Cause to number of failed trials."""
    failures: Mapping[str, str]
    """Failed trial to the last line of its error."""
    retried: Mapping[str, int]
    """Cause of failure to the number of retries of finished trials because of it."""
    working: tuple[RunningWork, ...]
    left: int
    """Number of trials without an outcome, including running trials."""
    per_hour: float | None
    """Ended trials per hour since the driver started; None without a driver, or before the first trial has ended."""
    seconds_left: float | None
    best: Mapping[str, Any] | None
    """{trial, values, metrics} of the best point so far, averaged over repeats; None for an ablation."""
    baseline: float | None = None
    """The current mean of an ablation's first primary metric in its baseline."""
    last_active: float | None = None
    """The time of the last event, in seconds since 1970; None before the first."""

    @property
    def state(self) -> str:
        """`complete`, `running`, or `stopped` (trials are left, but no driver runs)."""
        if self.left == 0 and self.holder is None:
            return "complete"
        return "stopped" if self.holder is None else "running"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"state": self.state, **asdict(self)}


def study_status(store: Store, study: Study) -> StudyStatus:
    """Return the status of `study`. Raises `storage.errors.StoreError` if its records cannot be read."""
    return status_of(store, study, trial_records(store, study.id))


def trial_records(store: Store, study: str) -> dict[str, TrialRecord]:
    """Return the records of all trials that have begun, of each the first and the last event."""
    return reduce_events(TrialEvent.from_json(value) for value in EventLog(store, study).ends())


def status_of(store: Store, study: Study, records: Mapping[str, TrialRecord]) -> StudyStatus:
    """Return the status of `study`, whose trials have these `records` (`trial_records`)."""
    now, driver = time.time(), holder(store, f"study-{study.id}")
    results = results_of(records.values())
    counts = outcomes(results)
    ends = [record.finished for record in records.values() if record.finished is not None]
    unfinished = max(0, study.trial_count - len(ends))
    rate = _per_second(ends, driver, now)
    retried: Counter[str] = Counter()
    for event in ends:
        retried.update(event.retries)
    order = ranked(averaged(results), study.targets, study.outcome_constraints)
    return StudyStatus(
        study=study.id,
        holder=driver,
        trials=study.trial_count,
        counts={name: counts[name] for name in ("completed", "pruned", "failed")},
        causes=dict(Counter(_cause(event) for event in ends if event.outcome == "FAILED")),
        failures={event.trial: event.reason for event in ends if event.outcome == "FAILED"},
        retried=dict(retried),
        working=tuple(_working(store, study, records, now)) if driver is not None else (),
        left=unfinished,
        per_hour=None if rate is None else 3600 * rate,
        seconds_left=None if rate is None else unfinished / rate,
        best=_best(order[0], study) if order and study.has_best else None,
        baseline=_baseline(study, results),
        last_active=max((record.time for record in records.values()), default=None),
    )


def _best(result: Result, study: Study) -> dict[str, Any]:
    violated = violated_by(result.metrics, study.outcome_constraints)
    entry = {"trial": result.trial, "values": dict(result.values), "metrics": dict(result.metrics)}
    return {**entry, **({"violated": list(violated)} if violated else {})}


def _baseline(study: Study, results: Iterable[Result]) -> float | None:
    completed = [(dict(result.values), result.metrics) for result in results if result.outcome == "COMPLETED"]
    return study.summary(completed).get(f"mean.{BASELINE}.{study.targets[0].name}")


def _cause(end: Finished) -> str:
    return "ERROR" if end.cause is None else end.cause  # old records have no cause


def _per_second(ended: Iterable[Finished], driver: Mapping[str, Any] | None, now: float) -> float | None:
    if driver is None or driver["since"] is None:
        return None
    since = datetime.fromisoformat(driver["since"]).timestamp()
    recent = sum(event.time >= since for event in ended)
    return recent / max(now - since, 1.0) if recent else None


def _working(store: Store, study: Study, records: Mapping[str, TrialRecord], now: float) -> Iterator[RunningWork]:
    pulses = read_pulses(store, study.id)
    target = study.targets[0]
    for name in sorted(pulses.keys() - records.keys()):  # pulses of shared stage runs, which have no events
        yield _running(name, None, pulses[name], target.name, now)
    for name, record in sorted(records.items()):
        if record.runs:
            yield _running(name, record, pulses.get(name, {}), target.name, now)


def _running(name: str, record: TrialRecord | None, pulse: Mapping[str, Any], target: str, now: float) -> RunningWork:
    """Return the running trial or stage run `name`, from its last event or its last pulse, whichever is later."""
    stage, epoch, metrics = pulse.get("stage"), pulse.get("epoch", 0), pulse.get("metrics", {})
    last_sign = pulse.get("time", 0.0)
    if record is not None and record.time > last_sign:
        last_sign = record.time
        if record.latest is not None:
            stage, epoch, metrics = (record.latest[name] for name in ("stage", "epoch", "metrics"))
    at, _, metric = target.partition(".")
    return RunningWork(
        name=name,
        stage=stage,
        epoch=epoch,
        value=metrics.get(metric) if stage == at else None,
        silent=max(0.0, now - last_sign),
        idle=pulse.get("idle"),
        host=pulse.get("host"),
        pid=pulse.get("pid"),
        usage=pulse.get("usage", {}),
    )


def render_status(status: StudyStatus, target: str, console: Console, *, options: str = "") -> None:
    """Print the status of a study with the values of the metric `target`.

    Args:
        status: The status.
        target: Name of the metric.
        console: The output; its markup must be off.
        options: The options that commands need to find the study's store, with a space before each.
    """
    for line in _lines(status, target, options):
        console.print(line, soft_wrap=True)
    if status.working:
        console.print(_table(status, target))
        if len(status.working) > _SHOWN:
            console.print(f"... and {len(status.working) - _SHOWN} more")


def _lines(status: StudyStatus, target: str, options: str) -> Iterator[str]:
    yield f"{status.study}: {status.state}"
    if status.holder is not None:
        driver = status.holder
        doubt = " (on another machine; it is unknown whether it is alive)" if driver["state"] == "unknown" else ""
        yield f"driver: process {driver['pid']} on {driver['host']} since {driver['since']}{doubt}"
    elif status.left > 0:
        yield f"driver: none; continue with python -m platform.resume {status.study}{options}"
    counts = [f"{count} {OUTCOME_WORDS[name.upper()]}" for name, count in status.counts.items() if count > 0]
    yield f"trials: {', '.join(counts) if counts else 'none ended'}; {status.left} of {status.trials} left"
    if status.causes:
        yield f"failed: {_counted(status.causes)}"
    for trial, error in sorted(status.failures.items())[:_FAILURES_SHOWN]:
        command = f"python -m platform.reproduce {status.study}/{trial} --debug{options}"
        yield f"{trial}: {error}; debug it: {command}"
    if status.retried:
        yield f"retried: {_counted(status.retried)}"
    if status.per_hour is not None and status.seconds_left is not None:
        yield f"speed: {status.per_hour:.1f} trials per hour, about {duration(status.seconds_left)} left"
    if status.best is not None:
        yield f"best: {status.best['trial']} {target} {status.best['metrics'][target]:.4g}"


def _counted(causes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))


def _table(status: StudyStatus, target: str) -> Table:
    columns = ("trial", "stage", "epoch", target, "last sign", "no progress", "CPU %", "MB", "where")
    table = Table(*columns, box=box.SIMPLE, pad_edge=False)
    for worker in status.working[:_SHOWN]:
        cpu, memory = (worker.usage.get(f"system/{name}") for name in _USED)
        table.add_row(
            worker.name,
            worker.stage or "",
            str(worker.epoch) if worker.epoch else "",
            "" if worker.value is None else f"{worker.value:.4g}",
            f"{duration(worker.silent)} ago",
            "" if worker.idle is None else duration(worker.idle),
            "" if cpu is None else f"{cpu:.0f}",
            "" if memory is None else f"{memory:.0f}",
            "" if worker.host is None else f"{worker.host}:{worker.pid}",
        )
    return table
