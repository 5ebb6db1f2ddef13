"""Runs a study in the calling process, one trial at a time, without Ray.

Dispatcher, records, views and store are the same as on Ray. The mode is meant for debugging and tests: a breakpoint in
a stage stops there, and a failure shows its traceback on the terminal. Results are the same as on Ray: a stage run is
a function of its config, seed and inputs, and it uses as many threads as a Ray worker would.
"""

import logging
import time
from bdb import BdbQuit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platform.errors import StudyError
from platform.events import SharedState
from platform.run.dispatch import Dispatcher
from platform.run.early_stopping import Curves, StoppingRule, stopping_rule
from platform.run.interrupt import Interrupt
from platform.study.study import Study
from storage.base import Store
from storage.runs import Manifest, RunStore
from trainables.attempt import Decisions, attempt
from trainables.config.trial import TrialConfig
from trainables.context import Part
from trainables.execute import Row, execute_anew, missing_runs
from trainables.gpu import granted_gpu
from trainables.graph import StageRun
from trainables.spec import TrialSpec
from trainables.stage_table import STAGES
from trainables.telemetry import Telemetry
from trainables.threads import limited_threads

_log = logging.getLogger(__name__)
_POLL = 0.2
"""Seconds between two checks for stage runs that other drivers have finished."""
_PERIOD = 1.0
"""Seconds between two records of rows, as on Ray."""


class StoppedEarly(BaseException):
    """Ends a trial from within its training loop. Not an `Exception`, so that no stage handles it as a failure."""


@dataclass(frozen=True)
class InlineWork:
    """A study that runs in this process, and the objects that it uses."""

    study: Study
    store: Store
    runs: RunStore
    scratch: Path
    dispatcher: Dispatcher
    interrupt: Interrupt
    report_state: Callable[[StageRun, SharedState], object]
    """Called with the state of each shared stage run."""


def run_inline(work: InlineWork, curves: Curves) -> int:
    """Run shared stage runs and trials until there are no more; return how many shared stage runs were executed.

    Raises:
        StudyError: A stage run that all trials need failed; its cause is the error that the stage raised.
        KeyboardInterrupt: The user asked to stop. The next call continues training from the last checkpoint.
    """
    executed = _run_shared(work)
    rule = stopping_rule(work.study, curves)
    work.dispatcher.concurrent = 1
    while True:
        work.interrupt.check()
        spec = work.dispatcher.next()
        if spec is not None:
            _run_trial(spec, work, rule)
        elif work.dispatcher.done:
            return executed
        else:
            time.sleep(_POLL)  # another driver runs the stage that the trial needs


def _run_shared(work: InlineWork) -> int:
    """Run the shared stage runs that are not in the store, inputs first; return how many succeeded."""
    shared = work.study.shared_runs()
    missing = missing_runs(shared, work.runs)
    for run in shared:
        work.report_state(run, "waiting" if run.identity in missing else "cached")
    return sum(_execute_shared(run, work) for run in shared if run.identity in missing)


def _execute_shared(run: StageRun, work: InlineWork) -> bool:
    """Execute `run`, or wait while another driver executes it. Return whether it was executed here successfully."""
    while not work.dispatcher.leases.acquire(run.identity, [run.identity]):
        work.interrupt.check()
        time.sleep(_POLL)
    try:
        if work.runs.find(run.identity) is not None:
            work.report_state(run, "done")
            return False
        work.report_state(run, "running")
        return _executed(run, work)
    finally:
        work.dispatcher.leases.release(run.identity)


def _executed(run: StageRun, work: InlineWork) -> bool:
    with _telemetry(work, run.identity) as telemetry, limited_threads(STAGES[run.stage].cores), granted_gpu(1):
        part = Part(_Checked(work.interrupt, telemetry), telemetry=telemetry)
        try:
            _execute(run, work.study.config_of(run), runs=work.runs, scratch=work.scratch, part=part)
        except Exception as error:
            work.report_state(run, "failed")
            failed = f"stage {run.stage} ({run.identity})"
            if work.study.is_needed_by_all(run):
                _log.exception("%s failed", failed)
                raise StudyError(f"{failed}, which all trials need, failed: {type(error).__name__}: {error}") from error
            _log.warning("%s failed; the trials that need it fail with the same error", failed, exc_info=True)
            return False
    work.report_state(run, "done")
    return True


def _execute(run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
    """Execute `run`. Quitting the debugger stops the study, like Ctrl-C: it is no failure of the trial."""
    try:
        return execute_anew(run, config, runs=runs, scratch=scratch, part=part)
    except BdbQuit as error:
        raise KeyboardInterrupt from error


def _run_trial(spec: TrialSpec, work: InlineWork, rule: StoppingRule) -> None:
    started = time.monotonic()
    work.dispatcher.started(spec.trial)
    with _telemetry(work, spec.trial) as telemetry, limited_threads(1), granted_gpu(1):
        report = _Rows(spec.trial, work, telemetry, _stops(spec, work.study, rule))
        try:
            ended = attempt(
                spec, runs=work.runs, scratch=work.scratch, report=report, telemetry=telemetry, make=_execute
            )
        except StoppedEarly:
            work.dispatcher.stopped(spec.trial)
            return
    if ended["outcome"] == "FAILED":
        _log.error("trial %s failed:\n%s", spec.trial, ended["error"])
    report.send()
    work.dispatcher.ended(spec.trial, {**ended, "seconds": time.monotonic() - started})


def _stops(spec: TrialSpec, study: Study, rule: StoppingRule) -> Callable[..., bool]:
    """Return a function that decides for each row whether the trial of `spec` is stopped."""
    decisions = Decisions(spec) if study.scheduler.name != "fifo" else None

    def stops(row: Row, *, live: bool) -> bool:
        value = None if decisions is None else decisions.value(row, live=live)
        return value is not None and rule.stops(spec.trial, row["epoch"], value)

    return stops


class _Rows:
    """Records rows about once a second, and ends the trial if the stopping rule or the user stops it."""

    def __init__(self, trial: str, work: InlineWork, telemetry: Telemetry, stops: Callable[..., bool]) -> None:
        self._trial, self._work, self._telemetry, self._stops = trial, work, telemetry, stops
        self._rows: list[Row] = []
        self._sent = time.monotonic()

    def __call__(self, row: Row, *, live: bool) -> None:
        self._rows.append(row)
        stopped = self._stops(row, live=live)
        if stopped or self._work.interrupt.requested or time.monotonic() - self._sent >= _PERIOD:
            self.send()
        self._work.interrupt.check()
        if stopped:
            raise StoppedEarly

    def send(self) -> None:
        """Record the rows, and the resources that this process used since the last call."""
        rows, self._rows, self._sent = self._rows, [], time.monotonic()
        self._work.dispatcher.rows(self._trial, rows, self._telemetry.take())


class _Checked:
    """Receives the epochs of a shared stage run, and stops it if the user asked to stop."""

    def __init__(self, interrupt: Interrupt, telemetry: Telemetry) -> None:
        self._interrupt, self._telemetry = interrupt, telemetry

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._telemetry.reached(epoch, metrics)
        self._interrupt.check()


def _telemetry(work: InlineWork, name: str) -> Telemetry:
    return Telemetry(work.store, study=work.study.id, name=name)
