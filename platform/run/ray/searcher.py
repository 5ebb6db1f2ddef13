"""The study as Ray Tune sees it: a searcher that hands out trials, and a callback that hears of starts and losses.

Each attempt at a trial is a trial to Tune: what is tried again, and how often, the dispatcher decides.
"""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune import Callback
from ray.tune.search import Searcher

from platform.run.dispatch import Dispatcher
from platform.run.interrupt import Interrupt
from platform.run.ray.placement import Places
from platform.run.stalls import Watch
from trainables.failure import cause_of
from trainables.on_ray import ENDED, ROWS, SAMPLES

_ANSWER = 1.0
"""Seconds that a node may take to answer."""
_TRACEBACK = "Traceback (most recent call last)"
"""In an error that code raised; of a process that died there is none."""


def _is_gone(node_id: str | None) -> bool:
    """Tell whether a node of the cluster is dead, or its Ray does not answer."""
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["NodeID"] == node_id:
            try:
                address = (node["NodeManagerAddress"], node["NodeManagerPort"])
                socket.create_connection(address, timeout=_ANSWER).close()
            except OSError:
                return True
            return not node["Alive"]
    return False


class StudySearcher(Searcher):
    """Asks the dispatcher for trials and passes it what they report, early stops as such."""

    def __init__(self, dispatcher: Dispatcher, config: Mapping[str, Any], places: Places, interrupt: Interrupt) -> None:
        """Give every trial `config` beside its spec, while the cluster has `places` for it."""
        super().__init__()
        self._dispatcher = dispatcher
        self._config = config
        self._places = places
        self._interrupt = interrupt
        self.trials: dict[str, str] = {}
        """Tune's trial id to ours."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept what Tune knows: the study knows better."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's config, None to be asked again soon, or FINISHED."""
        self.heed()  # while nothing runs, Tune comes by nowhere else
        if not self._places.suffice:
            return None
        spec = self._dispatcher.next()
        if spec is None:
            return str(Searcher.FINISHED) if self._dispatcher.done else None
        self.trials[trial_id] = spec.trial
        return {"trial": spec.trial, "spec": json.dumps(spec.to_json()), **self._config}

    def heed(self) -> None:
        """Stop here if the user asked for it, or if the cluster has lost for good what a trial needs."""
        self._interrupt.check()
        self._places.look()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record the rows that came, and what the worker used."""
        rows, samples = (json.loads(result.get(name, "[]")) for name in (ROWS, SAMPLES))
        self._dispatcher.rows(self.trials[trial_id], rows, samples)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end; without one of its own the trial was stopped early. Losses come through the callback.

        Without any result it was taken back before it had begun, since its places could not be had any more.
        """
        if error:
            return
        trial = self.trials[trial_id]
        if result is None:
            self._dispatcher.put_back(trial)
            return
        self.on_trial_result(trial_id, result)
        if ENDED in result:
            self._dispatcher.ended(trial, json.loads(result[ENDED]))
        else:
            self._dispatcher.stopped(trial)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store's records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the store's records are the state."""


class Steps(Callback):
    """Tells the dispatcher when a worker begins with a trial and when one is lost; ends those that hang."""

    def __init__(self, dispatcher: Dispatcher, searcher: StudySearcher, watch: Watch) -> None:
        """Name trials as `searcher` does, and let it take heed at every step."""
        self._dispatcher = dispatcher
        self._searcher = searcher
        self._watch = watch
        self._running: dict[str, Any] = {}
        self._late: set[str] = set()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take heed, and end what hangs: Tune comes by about every tenth of a second."""
        self._searcher.heed()
        for name in self._watch.late():
            self._late.add(name)
            ray.kill(self._running[name].temporary_state.ray_actor)  # its process, even one that is stopped

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the start."""
        name = self._searcher.trials[trial.trial_id]
        self._running[name] = trial
        self._watch.begins(name)
        self._dispatcher.started(name)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Watch it no more."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the loss."""
        name = self._forget(trial)
        if name in self._late:
            self._late.remove(name)
            text = f"it made no progress for {self._watch.deadline:g} s and was ended (--stage-deadline)"
            self._dispatcher.failed(name, text, "DEADLINE")
            return
        # Tune's own `get_error` looks where the text is copied to later.
        text = Path(trial.error_file).read_text(encoding="utf-8")
        cause = cause_of(RuntimeError(text) if _TRACEBACK in text else RayActorError(error_msg=text))
        # Ray tells that a worker is gone seconds before it knows that its node is.
        if cause == "WORKER_LOST" and _is_gone(self._watch.node(name)):
            cause = "NODE_LOST"
        self._dispatcher.failed(name, f"its worker was lost: {text.strip()}", cause)

    def _forget(self, trial: Any) -> str:
        name = self._searcher.trials[trial.trial_id]
        self._running.pop(name, None)
        self._watch.ends(name)
        return name
