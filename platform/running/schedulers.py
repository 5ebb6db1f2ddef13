"""Early stopping by name. Time is the epoch of the target's stage: a trial is judged by what it has learned so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from platform.definition.study import AshaOptions, MedianOptions, Study
from trainables.on_ray import EPOCH, TARGET


def scheduler(study: Study, curves: Mapping[str, Mapping[int, float]]) -> TrialScheduler:
    """Return the scheduler that `study` names.

    Args:
        study: Names the scheduler and its options.
        curves: What the trials that finished before this process started reported: trial to epoch to the first
            target's value. They count as if the scheduler had seen them.
    """
    options = study.scheduler.options
    goal: dict[str, Any] = {"metric": TARGET, "mode": study.targets[0].goal, "time_attr": EPOCH}
    if isinstance(options, AshaOptions):
        halving = ASHAScheduler(
            **goal,
            max_t=max(study.max_epochs(), options.grace_epochs),
            grace_period=options.grace_epochs,
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,
        )
        for name, curve in curves.items():
            _teach(halving, _Past(name), curve)
        return halving
    if isinstance(options, MedianOptions):
        median = _Median(**goal, grace_period=options.grace_epochs, min_samples_required=options.min_trials)
        for name, curve in curves.items():
            median.learn(_Past(name), curve)
        return median
    return FIFOScheduler()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Past:
    """Stands for a trial of an earlier process."""

    trial_id: str


def _teach(halving: Any, past: _Past, curve: Mapping[int, float]) -> None:
    halving.on_trial_add(None, past)
    for epoch in sorted(curve):
        halving.on_trial_result(None, past, {EPOCH: epoch, TARGET: curve[epoch]})


class _Median(MedianStoppingRule):
    """Ray's rule without its pauses: a paused trial would hold its memory, and here no other waits for its place."""

    def learn(self, past: _Past, curve: Mapping[int, float]) -> None:
        """Take in all results of a trial that is over."""
        if curve:
            self._results[past] = [{EPOCH: epoch, TARGET: curve[epoch]} for epoch in sorted(curve)]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Do nothing: what decides came epoch by epoch, and the last result is no epoch."""

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return str(TrialScheduler.CONTINUE)
