"""The study as Ray Tune sees it: a searcher that hands out trials, and a callback that hears of starts and losses."""

import json
from collections.abc import Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from platform.running.dispatch import Dispatcher
from platform.running.interrupt import Interrupt
from trainables.on_ray import ENDED, ROWS


class StudySearcher(Searcher):
    """Asks the dispatcher for trials and passes it what they report, early stops as such."""

    def __init__(self, dispatcher: Dispatcher, config: Mapping[str, Any]) -> None:
        """Give every trial `config` beside its spec."""
        super().__init__()
        self._dispatcher = dispatcher
        self._config = config
        self.trials: dict[str, str] = {}
        """Tune's trial id to ours."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept what Tune knows: the study knows better."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's config, None to be asked again soon, or FINISHED."""
        spec = self._dispatcher.next()
        if spec is None:
            return str(Searcher.FINISHED) if self._dispatcher.done else None
        self.trials[trial_id] = spec.trial
        return {"trial": spec.trial, "spec": json.dumps(spec.to_json()), **self._config}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record the rows that came."""
        self._dispatcher.rows(self.trials[trial_id], json.loads(result.get(ROWS, "[]")))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end; without one of its own the trial was stopped early. Losses come through the callback."""
        if error or result is None:
            return
        self.on_trial_result(trial_id, result)
        trial = self.trials[trial_id]
        if ENDED in result:
            self._dispatcher.ended(trial, json.loads(result[ENDED]))
        else:
            self._dispatcher.stopped(trial)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store's records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the store's records are the state."""


class Steps(Callback):
    """Tells the dispatcher when a worker begins with a trial and when one is lost for good; lets the user stop."""

    def __init__(self, dispatcher: Dispatcher, trials: Mapping[str, str], interrupt: Interrupt) -> None:
        """Name trials by `trials`, which maps Tune's id to ours and grows."""
        self._dispatcher = dispatcher
        self._trials = trials
        self._interrupt = interrupt

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Stop here if the user asked for it: Tune comes by about every tenth of a second."""
        self._interrupt.check()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the start."""
        self._dispatcher.started(self._trials[trial.trial_id])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the loss."""
        self._dispatcher.failed(self._trials[trial.trial_id], f"its worker was lost: {trial.get_error()}")
