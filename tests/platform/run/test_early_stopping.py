"""The stopping rules decide as Ray Tune's own schedulers do, whatever the order in which results come."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from platform.run.early_stopping import MedianRule, Never, StoppingRule, SuccessiveHalving

EPOCHS, TRIALS = 9, 14
GOALS = pytest.mark.parametrize("maximize", [True, False])


def interleaved(seed: int) -> list[tuple[str, int, float]]:
    """Return (trial, epoch, value) of trials that run side by side, epochs in order within each, ties included."""
    rng = np.random.default_rng(seed)
    turns = rng.permutation(np.repeat(np.arange(TRIALS), EPOCHS))
    reached, quality = dict.fromkeys(range(TRIALS), 0), rng.normal(size=TRIALS)
    steps = []
    for trial in turns:
        reached[trial] += 1
        steps.append((f"t{trial:04d}", reached[trial], float(np.round(quality[trial] + 0.5 * rng.normal(), 1))))
    return steps


def decisions(rule: StoppingRule, steps: list[tuple[str, int, float]]) -> list[tuple[str, int]]:
    """Return where `rule` stops trials; a stopped one reports no more."""
    stopped: dict[str, int] = {}
    for trial, epoch, value in steps:
        if trial not in stopped and rule.stops(trial, epoch, value):
            stopped[trial] = epoch
    return sorted(stopped.items())


class AsRay:
    """Asks a scheduler of Ray Tune."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._trials: dict[str, Any] = {}
        self._controller = SimpleNamespace(get_live_trials=list)

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        if trial not in self._trials:
            self._trials[trial] = _Trial(trial)
            self._scheduler.on_trial_add(self._controller, self._trials[trial])
        result = {"epoch": epoch, "target": value}
        answer = self._scheduler.on_trial_result(self._controller, self._trials[trial], result)
        return bool(answer == TrialScheduler.STOP)


class _Trial:
    def __init__(self, name: str) -> None:
        self.trial_id = name


@GOALS
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("grace", "factor"), [(1, 2), (1, 3), (2, 2), (3, 4)])
def test_halving_decides_as_ray_does(seed: int, grace: int, factor: int, maximize: bool) -> None:
    goal: Any = {"metric": "target", "mode": "max" if maximize else "min", "time_attr": "epoch"}
    rays = ASHAScheduler(
        **goal, max_t=EPOCHS, grace_period=grace, reduction_factor=factor, brackets=1, stop_last_trials=False
    )
    ours = SuccessiveHalving(grace=grace, factor=factor, epochs=EPOCHS, maximize=maximize)
    expected = decisions(AsRay(rays), interleaved(seed))
    assert decisions(ours, interleaved(seed)) == expected
    assert expected, "a rule that stops nothing compares nothing"


@GOALS
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("grace", "least"), [(1, 1), (1, 3), (3, 4)])
def test_the_median_rule_decides_as_ray_does(seed: int, grace: int, least: int, maximize: bool) -> None:
    goal: Any = {"metric": "target", "mode": "max" if maximize else "min", "time_attr": "epoch"}
    rays = MedianStoppingRule(**goal, grace_period=grace, min_samples_required=least)
    ours = MedianRule(grace=grace, min_trials=least, maximize=maximize)
    expected = decisions(AsRay(rays), interleaved(seed))
    assert decisions(ours, interleaved(seed)) == expected
    assert expected, "a rule that stops nothing compares nothing"


def test_without_a_rule_no_trial_stops() -> None:
    assert decisions(Never(), interleaved(0)) == []


def test_an_epoch_that_comes_again_decides_nothing() -> None:
    for rule in (
        SuccessiveHalving(grace=1, factor=2, epochs=4, maximize=True),
        MedianRule(grace=1, min_trials=1, maximize=True),
    ):
        assert not rule.stops("good", 1, 1.0)
        assert rule.stops("bad", 1, 0.0)
        assert not rule.stops("bad", 1, 0.0)
