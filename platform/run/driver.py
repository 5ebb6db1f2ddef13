"""Runs a study to its end, from the start or from its last recorded state: records, views, shared stage runs, trials.

Ray and Optuna are imported only if there is something to run, so a complete study returns at once.
"""

import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform.errors import StudyError, UserError
from platform.events import SharedState, SharedView, TrialEvent, View
from platform.options import Options, place_arguments
from platform.record.data_card import store_data_card
from platform.record.spool import Spool, local_name
from platform.record.study_from_store import call_of
from platform.record.trial_log import Recorder, Records, Summary, summarise_study
from platform.run.admission import refuse_inline
from platform.run.interrupt import Interrupt
from platform.run.run_leases import RunLeases
from platform.run.stalls import StallDetector
from platform.study.study import Study
from storage import layout
from storage.base import Store
from storage.errors import ExistsError, LeaseHeldError, StoreError
from storage.events import EventLog
from storage.lease import Lease
from storage.runs import RunStore
from storage.studies import save_call, save_study
from storage.uri import FIRST_LOOK, check_store, open_store
from trainables.execute import made_by, warnings_of
from trainables.graph import StageRun
from trainables.plugins.recorded import digests_to_text
from trainables.scratch import on_this_node, remove_scratch
from trainables.telemetry import delete_pulses

if TYPE_CHECKING:
    from platform.run.dispatch import Dispatcher


def _nothing() -> None:
    """Do nothing while Ray starts."""


def run_study(
    study: Study,
    options: Options,
    *,
    views: Callable[[], Sequence[View]] = list,
    meanwhile: Callable[[], None] = _nothing,
    held: ExitStack | None = None,
) -> Summary:
    """Run the unfinished trials of `study` and return a summary. The same call continues after any interruption.

    Args:
        study: The study to run.
        options: Where the records are and how the study runs.
        views: Opens the views after the lease is acquired; `platform.launch` has the default views.
        meanwhile: Called just before this process waits for Ray to start; it returns at once.
        held: At its end the study's lease is released; by default at the end of this call.

    Example:
        >>> summary = run_study(study, options)  # study: of load_study; options: of Options, here with inline=True
        >>> summary.trials["completed"], summary.exit_code
        (2, 0)

    Raises:
        UserError: The store cannot be used, another driver runs the study, or a plug-in has changed since it was
            planned. Nothing was started.
        StudyError: The store was lost, a stage run that all trials need failed, or the first trials all failed alike.
    """
    if held is None:
        with ExitStack() as own:
            return run_study(study, options, views=views, meanwhile=meanwhile, held=own)
    _refuse_changed(study)
    with study.plugins.active():
        return _run(study, options, views, meanwhile, held)


def _refuse_changed(study: Study) -> None:
    for source in study.plugins.changed:
        raise UserError(
            f"{source.path}: the plug-in {source.name} has changed since the study was planned with it (SHA-256 "
            f"{source.sha256}); run the command again, which plans with the plug-in as it is now"
        )


def _run(
    study: Study,
    options: Options,
    views: Callable[[], Sequence[View]],
    meanwhile: Callable[[], None],
    held: ExitStack,
) -> Summary:
    if options.inline:
        refuse_inline(options)
    store = _opened(options.store)
    lease = Lease(store, f"study-{study.id}")
    spool = Spool(options.home, study.id, store=store.uri)
    interrupt = Interrupt(lambda: _require_held(lease, study))
    with interrupt.listening():
        try:
            lease.acquire()
        except LeaseHeldError as error:
            raise UserError(f"another driver is running study {study.id}: {error}") from None
        held.callback(lease.release)
        try:
            return _Run(study, options, store, interrupt, views(), spool, meanwhile).to_end()
        except StoreError as error:
            _require_held(lease, study)
            raise StudyError(f"study {study.id} cannot continue: {error}\n{_way_on(study, options, spool)}") from error


def _way_on(study: Study, options: Options, spool: Spool) -> str:
    """Return the file of the undelivered events, and the command that delivers them and continues the study."""
    arguments = place_arguments(home=options.home, store=options.store, tracking=options.tracking)
    arguments += [text for setting in study.settings for text in ("--set", setting)]
    command = shlex.join(["python", "-m", f"platform.{study.verb}", study.path, *arguments])
    undelivered = f"{spool.waiting} undelivered events are in {spool.path}; " if spool.waiting else ""
    return f"{undelivered}when the store can be reached again, continue with: {command}"


def _require_held(lease: Lease, study: Study) -> None:
    """Raise `StudyError` if another driver took over the study because this driver did not renew its lease."""
    if lease.lost:
        raise StudyError(
            f"another driver has taken over study {study.id}, because this driver did not renew its lease in time "
            "(it was stopped, or it could not reach the store). The other driver continues the study, and this one "
            "ends. No event is recorded twice"
        )


def _opened(uri: str) -> Store:
    """Return the store at `uri` after a check that it is writable. Raises `UserError`."""
    try:
        check_store(open_store(uri, patience=FIRST_LOOK))
    except (StoreError, ValueError) as error:
        raise UserError(f"--store {uri}: {error}") from error
    return open_store(uri)


@dataclass(frozen=True)
class _Run:
    """One call of `run_study`, under the study's lease."""

    study: Study
    options: Options
    store: Store
    interrupt: Interrupt
    views: Sequence[View]
    spool: Spool
    meanwhile: Callable[[], None]

    @property
    def worker_settings(self) -> dict[str, str]:
        """The settings of a worker: the store, a scratch folder that this call removes, and a folder for downloads."""
        scratch = self.options.home.absolute() / "scratch"
        own = scratch / local_name(self.study.id, self.store.uri)
        folders = {"scratch": str(own), "cache": str(scratch / "cache")}
        deadline = self.options.stage_deadline
        # A pulse that is late by one period must not exceed the deadline.
        pulse = math.inf if deadline is None else deadline / 4
        plugins = digests_to_text(self.study.plugins.digests)
        return {"store": self.store.uri, "study": self.study.id, "pulse": str(pulse), "plugins": plugins, **folders}

    @property
    def runs(self) -> RunStore:
        return RunStore(self.store, cache=on_this_node(self.worker_settings["cache"]))

    def to_end(self) -> Summary:
        """Run the unfinished trials, after the views have received all past events."""
        started = time.monotonic()
        self._save_definition()
        log = EventLog(self.store, self.study.id)
        self.spool.deliver(log)
        records = Records(self.study, map(TrialEvent.from_json, log.read()))
        if self.options.retry_failed:
            records.reopen_failed()
        recorder = Recorder(log, self.views, self.spool)
        recorder.replay(records.events)
        counts = {"executed": 0, "reused": 0}
        interrupted, message = False, None
        try:
            if len(records.finished()) < self.study.trial_count:
                message = self._work(records, recorder, counts)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            recorder.close()
        summary = summarise_study(self.study, records, stage_runs=counts, seconds=time.monotonic() - started)
        return replace(summary, interrupted=interrupted, message=message)

    def _work(self, records: Records, recorder: Recorder, counts: dict[str, int]) -> str | None:
        """Propose and run trials; return the reason if there were fewer than requested, else None."""
        from platform.run.dispatch import Dispatcher, Tools
        from platform.run.proposer import Proposer

        leases = RunLeases(self.store, self.runs)
        dispatcher = Dispatcher(
            self.study, Tools(Proposer(self.study), records, recorder, leases, self.options.keep_going)
        )
        scratch = self.worker_settings["scratch"]
        remove_scratch(scratch)  # left by a killed driver; no other driver holds the lease
        try:
            if dispatcher.has_work():
                execute = self._inline if self.options.inline else self._on_ray
                counts["executed"] += execute(dispatcher, records)
                with suppress(StoreError):  # of killed workers whose trials were tried again
                    delete_pulses(self.store, self.study.id)
            return dispatcher.exhausted
        finally:
            counts["executed"] += dispatcher.executed
            counts["reused"] += dispatcher.reused
            leases.close()
            remove_scratch(scratch)

    def _inline(self, dispatcher: "Dispatcher", records: Records) -> int:
        """Run all trials in this process; return the number of shared stage runs that were executed first."""
        from platform.run.inline import InlineWork, run_inline

        delete_pulses(self.store, self.study.id)
        scratch = on_this_node(self.worker_settings["scratch"])
        work = InlineWork(self.study, self.store, self.runs, scratch, dispatcher, self.interrupt, self._report_state)
        return run_inline(work, records.curves())

    def _on_ray(self, dispatcher: "Dispatcher", records: Records) -> int:
        """Run all trials; return the number of shared stage runs that were executed first."""
        from platform.run.ray.cluster import cluster

        self.meanwhile()
        with cluster(self.options.address), self.interrupt.listening():
            from platform.run.ray import trials  # Ray Tune, which `meanwhile` may have imported by now
            from platform.run.ray.cluster_check import check_nodes
            from platform.run.ray.shared_runs import run_shared

            check_nodes(self.worker_settings, layout.study(self.study.id))
            self._clear_nodes()
            grant = trials.grant(self.study, self.options.max_concurrent)
            delete_pulses(self.store, self.study.id)
            stalls = StallDetector(self.store, self.study.id, self.options.stage_deadline)
            work = trials.Work(self.study, self.worker_settings, dispatcher.leases, grant, self.interrupt, stalls)
            try:
                executed = run_shared(work, self.study.shared_runs(), self._report_state)
                trials.run_trials(work, dispatcher, records.curves())
            finally:
                self._clear_nodes()
        return executed

    def _clear_nodes(self) -> None:
        """Remove scratch folders on the nodes of a cluster. On this machine, `_work` does."""
        from platform.run.ray.cluster_check import clear_nodes

        if self.options.address is not None:
            clear_nodes(self.worker_settings)

    def _report_state(self, run: StageRun, state: SharedState) -> None:
        for view in self.views:
            if isinstance(view, SharedView):
                view.shared(run.stage, run.identity, state)
                for text in self._remarks(run) if state in ("done", "cached") else ():
                    view.remark(text)

    def _remarks(self, run: StageRun) -> Iterator[str]:
        """Yield the warnings of a stored stage run, and which code made it if that was another."""
        if (manifest := self.runs.find(run.identity)) is None:
            return
        yield from (f"warning: {text}" for text in warnings_of(manifest))
        if other := made_by(manifest):
            yield f"{run.stage} ({run.identity}) is read from the store; made by {other['made_by']}"

    def _save_definition(self) -> None:
        definition: Mapping[str, object] = {"id": self.study.id, "definition": self.study.definition}
        try:
            save_study(self.store, self.study.id, definition)
        except ExistsError as error:
            raise UserError(f"{error}; --new-attempt runs it as a new attempt, and both are kept") from error
        call = {**call_of(self.study), **store_data_card(self.store, self.study)}
        save_call(self.store, self.study.id, call, time=time.time())
