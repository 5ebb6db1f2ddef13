"""The stage runs that several trials need. They are executed as Ray tasks before the trials."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from platform.errors import StudyError, UserError
from platform.events import SharedState
from platform.run.admission import Grant, Node, admit, need_of, shared_resources, worker_capacity
from platform.run.ray.placement import NODES_TIMEOUT, nodes
from platform.run.ray.trials import Work
from platform.run.retries import RetryCounts
from storage.runs import RunStore
from storage.uri import open_store
from trainables.execute import missing_runs
from trainables.failure import cause_of
from trainables.graph import StageRun
from trainables.on_ray import SharedRun, shared_run
from trainables.scratch import on_this_node

_log = logging.getLogger(__name__)
_POLL = 0.2
"""Seconds between two queries for finished tasks, and for stage runs that other drivers have finished."""

_LOOK = 1.0
"""Seconds between two looks at whether submitted stage runs have begun."""

ReportState = Callable[[StageRun, SharedState], object]
"""Called with the new state of a shared stage run."""


def run_shared(work: Work, shared: Sequence[StageRun], report_state: ReportState) -> int:
    """Run the `shared` stage runs (inputs first) that are not in the store; return how many were executed.

    Each is a Ray task that waits for the tasks of its inputs. If another driver executes the same stage run, this
    driver waits for it without a worker. A failed one is tried again as often as a trial (`platform.run.retries`). If a
    stage run that only some trials need fails for good, the study continues: these trials try it again and record the
    error.

    Raises:
        StudyError: A stage run that all trials need failed.
    """
    settings = work.worker_settings
    missing = missing_runs(shared, RunStore(open_store(settings["store"]), cache=on_this_node(settings["cache"])))
    for run in shared:
        report_state(run, "waiting" if run.identity in missing else "cached")
    runs = _Runs(work, [run for run in shared if run.identity in missing], report_state)
    try:
        return runs.run_all()
    finally:
        runs.remove_groups()


@dataclass(frozen=True)
class _Task:
    """A submitted stage run: a task or, under Ray Train, an actor with a placement group for its workers."""

    run: StageRun
    result: Any
    """A Ray object reference."""
    share: Grant
    """What it was submitted for."""
    actor: Any = None
    group: PlacementGroup | None = None

    def fits(self, present: Sequence[Node]) -> bool:
        """Return whether the nodes that are `present` could hold it if they were free."""
        return worker_capacity(self.share, present) >= self.share.workers

    def end(self) -> None:
        """End the processes of the stage run. It then counts as failed."""
        if self.actor is None:
            ray.cancel(self.result, force=True)
        else:
            ray.kill(self.actor)

    def remove_group(self) -> None:
        """Remove the placement group, if there is one. This ends all processes in it."""
        if self.group is not None:
            remove_placement_group(self.group)


class _Runs:
    """The waiting and the submitted stage runs."""

    def __init__(self, work: Work, missing: Sequence[StageRun], report_state: ReportState) -> None:
        self._work, self._report_state, self._nodes = work, report_state, nodes()
        self._first_nodes = self._nodes
        self._waiting = {run.identity: run for run in missing}
        self._running: dict[Any, _Task] = {}
        self._results: dict[str, Any] = {}
        """Identity to the result of each submitted stage run."""
        self._started: set[str] = set()
        self._stalled: set[str] = set()
        self._failed: set[str] = set()
        self._retries = RetryCounts()
        self._looked = 0.0
        self._too_small_since: float | None = None
        """The time since which no node can hold a submitted stage run. Monotonic clock."""

    def run_all(self) -> int:
        """Run all stage runs; return how many succeeded."""
        done = 0
        while self._waiting or self._running:
            self._work.interrupt.check()
            self._end_stalled()
            for run in tuple(self._waiting.values()):
                self._submit(run)
            self._note_started()
            done += self._take_finished()
        return done

    def remove_groups(self) -> None:
        """Remove all placement groups."""
        for task in self._running.values():
            task.remove_group()

    def _unfinished(self) -> set[str]:
        return {task.run.identity for task in self._running.values()}

    def _submit(self, run: StageRun) -> None:
        """Submit `run` if all its inputs are stored or submitted and no other driver executes it."""
        config, inputs = self._work.study.config_of(run), set(run.inputs.values())
        share = self._present_or_first_share(run)
        in_group = share.workers > 1 or need_of(config, run.stage).always_ray_train
        # A placement group that waits for inputs would hold the CPUs that the tasks of these inputs need.
        not_ready = self._waiting.keys() | (self._unfinished() if in_group else set())
        if not_ready & inputs or not self._work.leases.acquire(run.identity, [run.identity]):
            return
        results = [self._results[identity] for identity in run.inputs.values() if identity in self._results]
        arguments = (run.to_json(), config.model_dump(mode="json"), self._work.worker_settings, *results)
        if in_group:
            group = placement_group([share.bundle] * share.workers)
            inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
            actor: Any = ray.remote(SharedRun).options(num_cpus=0, scheduling_strategy=inside).remote()
            task = _Task(run, actor.run.remote(*arguments), share, actor, group)
        else:
            remote = ray.remote(shared_run).options(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=0)
            task = _Task(run, remote.remote(*arguments), share)
        self._results[run.identity] = task.result
        self._running[task.result] = task
        del self._waiting[run.identity]

    def _note_started(self) -> None:
        """Find the stage runs that have begun. A submitted one may wait for inputs and for cores, without a pulse."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        self._nodes = nodes()
        for task in self._running.values():
            if task.run.identity not in self._started and self._work.stalls.node(task.run.identity) is not None:
                self._work.stalls.watch(task.run.identity)
                self._report_started(task.run)
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Submit anew, for the nodes that are left, what waits for one that is lost.

        Raises:
            StudyError: For `NODES_TIMEOUT` no node could hold it.
        """
        waiting = [task for task in self._running.values() if task.run.identity not in self._started]
        homeless = [task for task in waiting if not task.fits(self._nodes)]
        lacking = [task for task in homeless if not self._withdraw(task)]
        if not lacking:
            self._too_small_since = None
            return
        share, now = lacking[0].share, time.monotonic()
        listed = ", ".join(f"{node.name}: {node.cpus} CPU, {node.gpus} GPU" for node in self._nodes if node.cpus > 0)
        bundle = " and ".join(f"{count:g} {kind}" for kind, count in share.bundle.items())
        what = (
            f"stage {lacking[0].run.stage} needs {share.workers} x {bundle}, which the nodes of the cluster do not have"
        )
        shortage = f"{what} now ({listed if listed != '' else 'none'})"
        if self._too_small_since is None:
            self._too_small_since = now
            _log.warning("%s; waiting up to %g s for nodes", shortage, NODES_TIMEOUT)
        if now - self._too_small_since >= NODES_TIMEOUT:
            raise StudyError(
                f"{shortage}, and no node was added for {NODES_TIMEOUT:g} s; the same command continues the study once "
                "the cluster is large enough"
            )

    def _withdraw(self, task: _Task) -> bool:
        """Put the stage run of `task` back if the nodes could hold it with fewer resources; return whether it is."""
        try:
            share = self._share(task.run, self._nodes)
        except UserError:
            return False
        if worker_capacity(share, self._nodes) < share.workers:
            return False
        task.end()
        task.remove_group()
        del self._running[task.result], self._results[task.run.identity]
        self._work.leases.release(task.run.identity)
        self._waiting[task.run.identity] = task.run
        return True

    def _present_or_first_share(self, run: StageRun) -> Grant:
        """Return what to submit `run` for: if the nodes that are left cannot hold it, it waits for some like the first.

        Raises:
            UserError: The cluster could not hold it from the start.
        """
        try:
            return self._share(run, self._nodes)
        except UserError:
            return self._share(run, self._first_nodes)

    def _share(self, run: StageRun, present: Sequence[Node]) -> Grant:
        """Return the resources of `run` on the nodes that are `present`. Raises `UserError` if they cannot hold it."""
        need = need_of(self._work.study.config_of(run), run.stage)
        granted = admit(need, present)
        if granted.workers > 1 or need.always_ray_train:
            return granted
        cpus, gpus = shared_resources(need, self._work.grant, present)
        return Grant(concurrent=1, gpus=gpus, cpus=cpus)

    def _report_started(self, run: StageRun) -> None:
        self._started.add(run.identity)
        self._report_state(run, "running")

    def _end_stalled(self) -> None:
        """End the stalled tasks. They then count as failed."""
        stalled = self._work.stalls.stalled()
        for task in self._running.values():
            if task.run.identity in stalled:
                deadline = self._work.stalls.deadline
                _log.warning("stage %s made no progress for %g s and was ended", task.run.stage, deadline)
                self._stalled.add(task.run.identity)
                task.end()

    def _take_finished(self) -> int:
        """Wait a moment for finished tasks; return how many of them succeeded."""
        if not self._running:
            time.sleep(_POLL)
            return 0
        finished = set(ray.wait(list(self._running), num_returns=len(self._running), timeout=_POLL)[0])
        # In the order of submission: if the inputs of a stage run are retried, it is too.
        return sum(self._finish(task) for result, task in tuple(self._running.items()) if result in finished)

    def _finish(self, task: _Task) -> bool:
        """Record the end of `task`; return whether it succeeded."""
        run = task.run
        self._work.stalls.unwatch(run.identity)
        self._work.leases.release(run.identity)
        try:
            ray.get(task.result)
        except ray.exceptions.RayError as error:
            if self._try_again(run, error):
                return False
            self._failed.add(run.identity)
            self._report_state(run, "failed")
            what = f"stage {run.stage} ({run.identity})"
            if self._work.study.is_needed_by_all(run):
                raise StudyError(f"{what}, which all trials need, failed:\n{error}") from None
            _log.warning("%s failed; the trials that need it try it again and record the error", what)
            return False
        finally:
            task.remove_group()
            del self._running[task.result]
        if run.identity not in self._started:  # it took less than the time between two looks
            self._report_started(run)
        self._report_state(run, "done")
        return True

    def _try_again(self, run: StageRun, error: Exception) -> bool:
        """Return whether `run` is executed again after `error`, and put it back if so."""
        inputs = set(run.inputs.values())
        if run.identity in self._stalled or inputs & self._failed:
            return False
        if not inputs & self._waiting.keys():  # else it failed because an input failed, and that one is retried
            cause = cause_of(error)
            if not self._retries.allow(run.identity, cause):
                return False
            _log.warning("stage %s (%s) is executed again: %s", run.stage, run.identity, cause)
        self._started.discard(run.identity)
        self._work.stalls.forget(run.identity)
        self._waiting[run.identity] = run
        self._report_state(run, "waiting")
        return True
