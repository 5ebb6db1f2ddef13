"""The stage runs that several trials need, as Ray tasks before them."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from platform.errors import StudyError
from platform.events import SharedState
from platform.run.admission import admit, need_of, shared_cores
from platform.run.ray.placement import nodes
from platform.run.ray.trials import Work
from storage.runs import RunStore
from storage.uri import open_store
from trainables.execute import missing
from trainables.graph import StageRun
from trainables.on_ray import SharedRun, shared_run

_log = logging.getLogger(__name__)
_POLL = 0.2
"""Seconds between two looks at what tasks, and other drivers, have finished."""

Tell = Callable[[StageRun, SharedState], object]
"""Is told how far each shared stage run is."""


def run_shared(work: Work, shared: Sequence[StageRun], tell: Tell) -> int:
    """Run those of the `shared` stage runs (inputs first) that the store lacks; return how many were executed.

    Each waits as a Ray task for the tasks that make its inputs. One that another driver is making is waited for here,
    in the driver, so that no worker is held up by it. One that fails and that only some trials need is left to them:
    their records then tell why.

    Raises:
        StudyError: One failed that all trials need.
    """
    absent = missing(shared, RunStore(open_store(work.place["store"]), cache=Path(work.place["cache"])))
    for run in shared:
        tell(run, "waiting" if run.identity in absent else "cached")
    runs = _Runs(work, [run for run in shared if run.identity in absent], tell)
    try:
        return runs.to_end()
    finally:
        runs.free()


@dataclass(frozen=True)
class _Task:
    """A stage run on its way: a task, or, with several workers, an actor with places reserved for them."""

    run: StageRun
    answer: Any
    actor: Any = None
    places: PlacementGroup | None = None

    def end(self) -> None:
        """End its processes; it then counts as failed."""
        if self.actor is None:
            ray.cancel(self.answer, force=True)
        else:
            ray.kill(self.actor)

    def free(self) -> None:
        """Give back the places, and end what is still there."""
        if self.places is not None:
            remove_placement_group(self.places)


class _Runs:
    """The stage runs that wait, and those on their way."""

    def __init__(self, work: Work, absent: Sequence[StageRun], tell: Tell) -> None:
        self._work, self._tell, self._nodes = work, tell, nodes()
        self._waiting = {run.identity: run for run in absent}
        self._running: dict[Any, _Task] = {}
        self._answers: dict[str, Any] = {}
        """Of all tasks, by identity."""
        self._begun: set[str] = set()

    def to_end(self) -> int:
        """Run all; return how many did not fail."""
        done = 0
        while self._waiting or self._running:
            self._work.interrupt.check()
            self._end_late()
            for run in tuple(self._waiting.values()):
                self._send(run)
            self._note_begun()
            done += self._take_finished()
        return done

    def free(self) -> None:
        """Give back what is reserved."""
        for task in self._running.values():
            task.free()

    def _unmade(self) -> set[str]:
        return {task.run.identity for task in self._running.values()}

    def _send(self, run: StageRun) -> None:
        """Send `run` out if its inputs are made or on their way, and nobody else makes it."""
        config, inputs = self._work.study.config_of(run), set(run.inputs.values())
        need = need_of(config, run.stage)
        granted = admit(need, nodes() if need.workers > 1 else self._nodes)
        # Places that wait for inputs would keep these from being made.
        unready = self._waiting.keys() | (self._unmade() if granted.workers > 1 else set())
        if unready & inputs or not self._work.claims.take(run.identity, [run.identity]):
            return
        answers = [self._answers[identity] for identity in run.inputs.values() if identity in self._answers]
        arguments = (run.to_json(), config.model_dump(mode="json"), self._work.place, *answers)
        if granted.workers > 1:
            places = placement_group([granted.bundle] * granted.workers)
            inside = PlacementGroupSchedulingStrategy(places, placement_group_capture_child_tasks=True)
            actor: Any = ray.remote(SharedRun).options(num_cpus=0, scheduling_strategy=inside).remote()
            task = _Task(run, actor.run.remote(*arguments), actor, places)
        else:
            cpus, gpus = shared_cores(run.stage, self._nodes), self._work.grant.gpus
            task = _Task(run, ray.remote(shared_run).options(num_cpus=cpus, num_gpus=gpus).remote(*arguments))
        self._answers[run.identity] = task.answer
        self._running[task.answer] = task
        del self._waiting[run.identity]

    def _note_begun(self) -> None:
        unmade = self._unmade()
        for task in self._running.values():
            if task.run.identity not in self._begun and not unmade & set(task.run.inputs.values()):
                self._begun.add(task.run.identity)
                self._work.watch.begins(task.run.identity)
                self._tell(task.run, "running")

    def _end_late(self) -> None:
        """End the tasks that hang; they then count as failed."""
        late = self._work.watch.late()
        for task in self._running.values():
            if task.run.identity in late:
                deadline = self._work.watch.deadline
                _log.warning("stage %s made no progress for %g s and is ended", task.run.stage, deadline)
                task.end()

    def _take_finished(self) -> int:
        """Wait a moment and take in what has finished; return how many of these did not fail."""
        if not self._running:
            time.sleep(_POLL)
            return 0
        return sum(self._took(self._running[answer]) for answer in ray.wait(list(self._running), timeout=_POLL)[0])

    def _took(self, task: _Task) -> bool:
        run = task.run
        self._work.watch.ends(run.identity)
        self._work.claims.drop(run.identity)
        try:
            ray.get(task.answer)
        except ray.exceptions.RayError as error:
            self._tell(run, "failed")
            what = f"stage {run.stage} ({run.identity})"
            if self._work.study.is_needed_by_all(run):
                raise StudyError(f"{what}, which all trials need, failed:\n{error}") from None
            _log.warning("%s failed; the trials that need it will tell why", what)
            return False
        finally:
            task.free()
            del self._running[task.answer]
        self._tell(run, "done")
        return True
