"""The interface to Ray Tune: a searcher that hands out trials, and a callback that reports starts and failures.

Tune has a trial for each attempt. The dispatcher decides what is retried, and how often.
"""

import json
import socket
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune import Callback
from ray.tune.search import Searcher

from platform.run.dispatch import Dispatcher
from platform.run.interrupt import Interrupt
from platform.run.ray.placement import Reservations
from platform.run.stalls import StallDetector
from trainables.failure import cause_of
from trainables.on_ray import ENDED, ROWS, SAMPLES
from trainables.ray_internals.tune import error_text, kill_worker

_CONNECT_TIMEOUT = 1.0
"""Seconds within which a node must accept a connection."""
_TRACEBACK = "Traceback (most recent call last)"
"""Part of an error that code raised. The message about a dead process does not contain it."""


def _is_lost(node_id: str | None) -> bool:
    """Return whether a node of the cluster is dead, or its Ray accepts no connection."""
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["NodeID"] == node_id:
            try:
                address = (node["NodeManagerAddress"], node["NodeManagerPort"])
                socket.create_connection(address, timeout=_CONNECT_TIMEOUT).close()
            except OSError:
                return True
            return not node["Alive"]
    return False


class StudySearcher(Searcher):
    """Asks the dispatcher for trials, and passes it their reports, their ends and early stops."""

    def __init__(
        self, dispatcher: Dispatcher, config: Mapping[str, Any], reservations: Reservations, interrupt: Interrupt
    ) -> None:
        """Add `config` to the spec of every trial. Trials are handed out while the cluster can hold one."""
        super().__init__()
        self._dispatcher = dispatcher
        self._config = config
        self._reservations = reservations
        self._interrupt = interrupt
        self.names: dict[str, str] = {}
        """Tune's trial id to the study's name of the trial."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept the arguments of Tune. They are not used: the study defines metric, mode and space."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's config, None to be asked again soon, or FINISHED."""
        self.check()  # while no trial runs, this is the only place that Tune calls
        if not self._reservations.can_hold_a_trial:
            return None
        spec = self._dispatcher.next()
        if spec is None:
            return str(Searcher.FINISHED) if self._dispatcher.done else None
        self.names[trial_id] = spec.trial
        return {"trial": spec.trial, "spec": json.dumps(spec.to_json()), **self._config}

    def check(self) -> None:
        """Raise if the user asked to stop, or if the cluster has been too small for a trial for too long."""
        self._interrupt.check()
        self._reservations.query_nodes()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record the rows of a result, and the resource samples of the worker."""
        rows, samples = (json.loads(result.get(name, "[]")) for name in (ROWS, SAMPLES))
        self._dispatcher.rows(self.names[trial_id], rows, samples)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end of a trial. Failures are recorded by `TrialCallback`.

        A last result without `ENDED` means that the scheduler stopped the trial. No result means that the trial never
        started, because its placement group became too large for the nodes; it is handed out again.
        """
        if error:
            return
        trial = self.names[trial_id]
        if result is None:
            self._dispatcher.put_back(trial)
            return
        self.on_trial_result(trial_id, result)
        if ENDED in result:
            self._dispatcher.ended(trial, json.loads(result[ENDED]))
        else:
            self._dispatcher.stopped(trial)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the records in the store are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the records in the store are the state."""


class TrialCallback(Callback):
    """Reports starts and failures of trials to the dispatcher, and ends stalled trials."""

    def __init__(self, dispatcher: Dispatcher, searcher: StudySearcher, stalls: StallDetector) -> None:
        """Use the names of `searcher`, and call its check at every step."""
        self._dispatcher = dispatcher
        self._searcher = searcher
        self._stalls = stalls
        self._running: dict[str, Any] = {}
        self._stalled: set[str] = set()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Call the check of the searcher, and end stalled trials. Tune calls this about ten times a second."""
        self._searcher.check()
        for name in self._stalls.stalled():
            self._stalled.add(name)
            kill_worker(self._running[name])

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the start of the trial."""
        name = self._searcher.names[trial.trial_id]
        self._running[name] = trial
        self._stalls.watch(name)
        self._dispatcher.started(name)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop watching the trial."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the failure and its cause."""
        name = self._forget(trial)
        if name in self._stalled:
            self._stalled.remove(name)
            text = f"it made no progress for {self._stalls.deadline:g} s and was ended (--stall-timeout)"
            self._dispatcher.failed(name, text, "DEADLINE")
            return
        text = error_text(trial)
        cause = cause_of(RuntimeError(text) if _TRACEBACK in text else RayActorError(error_msg=text))
        # Ray reports a dead worker seconds before it reports that the worker's node is dead.
        if cause == "WORKER_LOST" and _is_lost(self._stalls.node(name)):
            cause = "NODE_LOST"
        lost = "device" if cause == "DEVICE_LOST" else "worker"
        self._dispatcher.failed(name, f"its {lost} was lost: {text.strip()}", cause)

    def _forget(self, trial: Any) -> str:
        name = self._searcher.names[trial.trial_id]
        self._running.pop(name, None)
        self._stalls.unwatch(name)
        return name
