"""Early stopping by name. Time is the epoch of the target's stage: a trial is judged by what it has learned so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from platform.study.study import AshaOptions, MedianOptions, Study
from trainables.on_ray import EPOCH, TARGET

Stranded = Callable[[], int]
"""Tells how many trials wait for places that they cannot have any more."""


def scheduler(study: Study, curves: Mapping[str, Mapping[int, float]], stranded: Stranded = int) -> TrialScheduler:
    """Return the scheduler that `study` names.

    Args:
        study: Names the scheduler and its options.
        curves: What trials reported before this process started: trial to epoch to the first target's value. They
            count as if the scheduler had seen them.
        stranded: So many of the trials that wait are taken back each time.
    """
    options = study.scheduler.options
    goal: dict[str, Any] = {"metric": TARGET, "mode": study.targets[0].goal, "time_attr": EPOCH}
    made: _Fifo | _Halving | _Median = _Fifo()  # type: ignore[no-untyped-call]
    if isinstance(options, AshaOptions):
        made = _Halving(
            **goal,
            max_t=max(study.max_epochs(), options.grace_epochs),
            grace_period=options.grace_epochs,
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,
        )
    if isinstance(options, MedianOptions):
        made = _Median(**goal, grace_period=options.grace_epochs, min_samples_required=options.min_trials)
    for name, curve in curves.items():
        made.learn(_Named(name), curve)
    made.stranded = stranded
    return made


@dataclass(frozen=True)
class _Named:
    """Stands for all attempts at a trial, of this process and earlier ones: to Tune each is a trial of its own."""

    trial_id: str


def _named(trial: Any) -> Any:
    return _Named(str(trial.config["trial"]))


class _Fifo(FIFOScheduler):
    """Runs what there is; takes back what waits in vain."""

    stranded: Stranded = int

    def learn(self, past: Any, curve: Mapping[int, float]) -> None:
        """Take in what a trial has reported."""

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Do it, and leave the choice to Tune."""
        count = self.stranded()
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
        for trial in waiting[:count]:
            tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)


class _Halving(_Fifo, ASHAScheduler):
    """Ray's rule, to which a trial that is tried again is still the same one."""

    def learn(self, past: Any, curve: Mapping[int, float]) -> None:
        """Take in what a trial has reported."""
        nobody: Any = None
        super().on_trial_add(nobody, past)
        for epoch in sorted(curve):
            super().on_trial_result(nobody, past, {EPOCH: epoch, TARGET: curve[epoch]})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Expect its results."""
        super().on_trial_add(tune_controller, _named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Compare it with the others, once at each rung."""
        return str(super().on_trial_result(tune_controller, _named(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Expect no more of it."""
        super().on_trial_complete(tune_controller, _named(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Expect no more of it."""
        super().on_trial_remove(tune_controller, _named(trial))


class _Median(_Fifo, MedianStoppingRule):
    """Ray's rule without its pauses: a paused trial would hold its memory, and here no other waits for its place."""

    def learn(self, past: Any, curve: Mapping[int, float]) -> None:
        """Take in what a trial has reported."""
        if curve:
            self._results[past] = [{EPOCH: epoch, TARGET: curve[epoch]} for epoch in sorted(curve)]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Compare it with the others, once at each epoch: a trial that is tried again may repeat the last one."""
        known = self._results.get(_named(trial), ())
        if EPOCH in result and any(result[EPOCH] <= row[EPOCH] for row in known):
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, _named(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Do nothing: what decides came epoch by epoch, and the last result is no epoch."""

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return str(TrialScheduler.CONTINUE)
