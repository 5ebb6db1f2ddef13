"""Early stopping: successive halving and the median stopping rule, with the same decisions as Ray Tune's schedulers.

A study on Ray and one in this process use the same rules. A rule is called at each epoch of the primary target's stage,
in the order in which the epochs are reported. It identifies a trial by its name, so a retried trial is the same trial.
`tests/platform/run/test_early_stopping.py` compares every decision with Ray's classes.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from platform.study.schedulers import AshaOptions, MedianOptions
from platform.study.study import Study

Curves = Mapping[str, Mapping[int, float]]
"""Trial to epoch (from 1) to the first target's value."""


class StoppingRule(Protocol):
    """Decides at each epoch whether a trial is stopped."""

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        """Record the value of `epoch` and return whether `trial` is stopped."""


class Never:
    """No early stopping: every trial is trained to its end."""

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        """Return False."""
        return False


class SuccessiveHalving:
    """Asynchronous successive halving (Li et al. 2020, Algorithm 2), with one bracket.

    The rungs are at `grace * factor**k` epochs. At a rung a trial stops if its value is worse than the best
    1/`factor` of those that reached it before.
    """

    def __init__(self, *, grace: int, factor: int, epochs: int, maximize: bool) -> None:
        """Compute the rungs for trials of at most `epochs` epochs."""
        count = int(math.log(max(epochs, grace) / grace) / math.log(factor) + 1)
        self._factor, self._sign = factor, 1.0 if maximize else -1.0
        self._rungs: list[tuple[int, dict[str, float]]] = [(grace * factor**k, {}) for k in reversed(range(count))]

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        """Compare `trial` with the other trials, once at each rung."""
        for milestone, recorded in self._rungs:
            if epoch >= milestone:
                return trial not in recorded and self._worse(trial, value * self._sign, recorded)
        return False

    def _worse(self, trial: str, reward: float, recorded: dict[str, float]) -> bool:
        """Record `reward` and return whether it is below the cutoff of the values `recorded` before at this rung."""
        values = list(recorded.values())
        recorded[trial] = reward
        return bool(values) and reward < float(np.nanpercentile(values, (1 - 1 / self._factor) * 100))


class MedianRule:
    """A trial stops if its best value is worse than the median of the others' running means (Golovin et al. 2017).

    The means are over the epochs from `grace` to the current epoch, of the trials that have reached it.
    """

    def __init__(self, *, grace: int, min_trials: int, maximize: bool) -> None:
        """Stop no trial before epoch `grace`, or while fewer than `min_trials` other trials have reached its epoch."""
        self._grace, self._min_trials, self._maximize = grace, min_trials, maximize
        self._curves: dict[str, dict[int, float]] = {}

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        """Compare `trial` with the other trials, once at each epoch."""
        curve = self._curves.setdefault(trial, {})
        if curve and epoch <= max(curve):
            return False
        curve[epoch] = value
        if epoch < self._grace:
            return False
        means = [mean for name in self._curves if name != trial and (mean := self._mean(name, epoch)) is not None]
        if len(means) < self._min_trials:
            return False
        best = max(curve.values()) if self._maximize else min(curve.values())
        median = float(np.median(means))
        return best < median if self._maximize else best > median

    def _mean(self, trial: str, epoch: int) -> float | None:
        """Return the mean of `trial` from the grace epoch to `epoch`; None if it has not reached `epoch`."""
        curve = self._curves[trial]
        values = [value for step, value in curve.items() if self._grace <= step <= epoch]
        if max(curve) < epoch or not values:
            return None
        mean = float(np.mean(values))
        return mean if math.isfinite(mean) else None


def stopping_rule(study: Study, curves: Curves) -> StoppingRule:
    """Return the stopping rule of `study`, updated with the `curves` that trials have reported so far."""
    options, maximize = study.scheduler.options, study.targets[0].goal == "max"
    rule: StoppingRule = Never()
    if isinstance(options, AshaOptions):
        grace, factor = options.grace_epochs, options.reduction_factor
        epochs = study.max_epochs()
        assert epochs is not None, "the checks of a sweep refuse a scheduler that has no epochs to decide on"
        rule = SuccessiveHalving(grace=grace, factor=factor, epochs=epochs, maximize=maximize)
    if isinstance(options, MedianOptions):
        rule = MedianRule(grace=options.grace_epochs, min_trials=options.min_trials, maximize=maximize)
    for trial, curve in curves.items():
        for epoch in sorted(curve):
            rule.stops(trial, epoch, curve[epoch])
    return rule
