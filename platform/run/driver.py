"""Runs a study from wherever it stands to its end: records, views, shared stage runs, trials.

Ray and Optuna are imported only when there is something to run: a study that is complete answers at once.
"""

import math
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from platform.errors import StudyError, UserError
from platform.events import SharedState, SharedView, TrialEvent, View
from platform.options import Options
from platform.record.spool import Spool
from platform.record.study_from_store import call_of
from platform.record.trial_log import Recorder, Records, Summary, summarise_study
from platform.run.admission import refuse_inline
from platform.run.interrupt import Interrupt
from platform.run.run_leases import Claims
from platform.run.stalls import Watch
from platform.study.study import Study
from platform.tracking_uri import without_secrets
from storage import layout
from storage.base import Store
from storage.errors import ExistsError, LeaseHeldError, StoreError
from storage.events import EventLog
from storage.lease import Lease
from storage.runs import RunStore
from storage.studies import save_call, save_study
from storage.uri import FIRST_LOOK, check_store, open_store
from trainables.graph import StageRun
from trainables.telemetry import forget_pulses

if TYPE_CHECKING:
    from platform.run.dispatch import Dispatcher


def run_study(study: Study, options: Options, *, views: Callable[[], Sequence[View]] = list) -> Summary:
    """Run what is left to do of `study` and return how it stands; the same call continues after any interruption.

    Args:
        study: What to run.
        options: Where and how.
        views: Opens what mirrors the events, once the lease is held; `platform.launch` has the usual ones.

    Raises:
        UserError: The store cannot be used, or another driver works on the study. Nothing was started.
        StudyError: The store was lost, or a stage run that all trials need failed.
    """
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
            raise UserError(f"another driver works on study {study.id}: {error}") from None
        try:
            return _Run(study, options, store, interrupt, views(), spool).to_end()
        except StoreError as error:
            _require_held(lease, study)
            raise StudyError(f"study {study.id} cannot go on: {error}\n{_way_on(study, options, spool)}") from error
        finally:
            lease.release()


def _way_on(study: Study, options: Options, spool: Spool) -> str:
    """Tell where the events are that the store lacks, and which command delivers them and continues the study."""
    places = {"home": str(options.home), "store": options.store, "tracking": without_secrets(options.tracking)}
    told = [text for name, place in places.items() for text in (f"--{name}", place)]
    told += [text for setting in study.settings for text in ("--set", setting)]
    command = shlex.join(["python", "-m", f"platform.{study.verb}", study.path, *told])
    kept = f"{spool.waiting} events wait in {spool.path}; " if spool.waiting else ""
    return f"{kept}once the store is back, this goes on from here: {command}"


def _require_held(lease: Lease, study: Study) -> None:
    """Raise `StudyError` if another driver took the study over, as it may after a silence of this one."""
    if lease.lost:
        raise StudyError(
            f"another driver has taken over study {study.id}, since this one was silent for too long (stopped, or cut "
            "off from the store); it goes on there, and this one has ended. Events are written once: none is doubled"
        )


def _opened(uri: str) -> Store:
    """Return the store at `uri`, found to be writable. Raises `UserError`."""
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

    @property
    def place(self) -> dict[str, str]:
        """What a worker is told: the store, a folder that dies with this call, and one for what is downloaded."""
        scratch = self.options.home.absolute() / "scratch"
        folders = {"scratch": str(scratch / self.study.id), "cache": str(scratch / "cache")}
        deadline = self.options.stage_deadline
        # Of a beat that comes late by a period no deadline must take notice.
        pulse = math.inf if deadline is None else deadline / 4
        return {"store": self.store.uri, "study": self.study.id, "pulse": str(pulse), **folders}

    @property
    def runs(self) -> RunStore:
        return RunStore(self.store, cache=Path(self.place["cache"]))

    def to_end(self) -> Summary:
        """Run what is left to do, with views that have seen all that was done before."""
        started = time.monotonic()
        self._save_definition()
        log = EventLog(self.store, self.study.id)
        self.spool.deliver(log)
        records = Records(self.study, map(TrialEvent.from_json, log.read()))
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
        """Propose and run trials; return why there were fewer than asked for, if so."""
        from platform.run.dispatch import Dispatcher, Tools
        from platform.run.proposer import Proposer

        claims = Claims(self.store, self.runs)
        dispatcher = Dispatcher(self.study, Tools(Proposer(self.study), records, recorder, claims))
        scratch = Path(self.place["scratch"])
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed driver left; nobody else has this study's lease
        try:
            if dispatcher.has_work():
                execute = self._inline if self.options.inline else self._on_ray
                counts["executed"] += execute(dispatcher, records)
            return dispatcher.exhausted
        finally:
            counts["executed"] += dispatcher.executed
            counts["reused"] += dispatcher.reused
            claims.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def _inline(self, dispatcher: "Dispatcher", records: Records) -> int:
        """Run all trials in this process; return how many shared stage runs were executed before."""
        from platform.run.inline import InlineWork, run_inline

        forget_pulses(self.store, self.study.id)
        scratch = Path(self.place["scratch"])
        work = InlineWork(self.study, self.store, self.runs, scratch, dispatcher, self.interrupt, self._tell)
        return run_inline(work, records.curves())

    def _on_ray(self, dispatcher: "Dispatcher", records: Records) -> int:
        """Run all trials; return how many shared stage runs were executed before."""
        from platform.run.ray import trials
        from platform.run.ray.cluster_check import check_nodes
        from platform.run.ray.shared_runs import run_shared

        with trials.cluster(self.options.address), self.interrupt.listening():
            check_nodes(self.place, layout.study(self.study.id))
            grant = trials.grant(self.study, self.options.max_concurrent)
            forget_pulses(self.store, self.study.id)
            watch = Watch(self.store, self.study.id, self.options.stage_deadline)
            work = trials.Work(self.study, self.place, dispatcher.claims, grant, self.interrupt, watch)
            executed = run_shared(work, self.study.shared_runs(), self._tell)
            trials.run_trials(work, dispatcher, records.curves())
        return executed

    def _tell(self, run: StageRun, state: SharedState) -> None:
        for view in self.views:
            if isinstance(view, SharedView):
                view.shared(run.stage, run.identity, state)

    def _save_definition(self) -> None:
        definition: Mapping[str, object] = {"id": self.study.id, "definition": self.study.definition}
        try:
            save_study(self.store, self.study.id, definition)
        except ExistsError as error:
            raise UserError(f"{error}; --new-attempt runs it beside that") from error
        save_call(self.store, self.study.id, call_of(self.study), time=time.time())
