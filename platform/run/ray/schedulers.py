"""Early stopping of trials, by the name of a scheduler. Its time is the epoch of the target's stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from platform.study.study import AshaOptions, MedianOptions, Study
from trainables.on_ray import EPOCH, TARGET
from trainables.ray_internals import MedianStoppingWithoutPause, stop_pending_trials

CountStranded = Callable[[], int]


def scheduler(
    study: Study, curves: Mapping[str, Mapping[int, float]], too_large: CountStranded = int
) -> TrialScheduler:
    """Return the scheduler that `study` names.

    Args:
        study: Names the scheduler and its options.
        curves: What trials reported before this process started: trial to epoch to the value of the first target. They
            count as if this scheduler had seen them.
        too_large: Returns how many pending trials need more than the nodes can hold. So many pending trials are stopped
            before each choice of a trial; the dispatcher hands them out again.
    """
    options = study.scheduler.options
    goal: dict[str, Any] = {"metric": TARGET, "mode": study.targets[0].goal, "time_attr": EPOCH}
    chosen: _Fifo | _Asha | _MedianStopping = _Fifo()  # type: ignore[no-untyped-call]
    if isinstance(options, AshaOptions):
        chosen = _Asha(
            **goal,
            max_t=max(study.max_epochs(), options.grace_epochs),
            grace_period=options.grace_epochs,
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,
        )
    if isinstance(options, MedianOptions):
        chosen = _MedianStopping(**goal, grace_period=options.grace_epochs, min_samples_required=options.min_trials)
    for name, curve in curves.items():
        chosen.restore_curve(_NamedTrial(name), curve)
    chosen.too_large = too_large
    return chosen


@dataclass(frozen=True)
class _NamedTrial:
    """Stands for all attempts at a trial, of this process and of earlier ones. Tune has one trial for each attempt."""

    trial_id: str


def _named(trial: Any) -> Any:
    return _NamedTrial(str(trial.config["trial"]))


class _Fifo(FIFOScheduler):
    """Runs trials in their order, and stops pending ones that need more than the nodes can hold."""

    too_large: CountStranded = int

    def restore_curve(self, trial: Any, curve: Mapping[int, float]) -> None:
        """Take in what `trial` has reported to an earlier process: epoch to value."""

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Stop what cannot run, and leave the choice to Tune."""
        stop_pending_trials(tune_controller, self.too_large())
        return super().choose_trial_to_run(tune_controller)


class _Asha(_Fifo, ASHAScheduler):
    """Ray's ASHA, for which all attempts at a trial are one trial."""

    def restore_curve(self, trial: Any, curve: Mapping[int, float]) -> None:
        """Take in what `trial` has reported to an earlier process: epoch to value."""
        no_controller: Any = None
        super().on_trial_add(no_controller, trial)
        for epoch in sorted(curve):
            super().on_trial_result(no_controller, trial, {EPOCH: epoch, TARGET: curve[epoch]})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Expect results of it."""
        super().on_trial_add(tune_controller, _named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Compare it with the others, once at each rung."""
        return str(super().on_trial_result(tune_controller, _named(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Expect no more results of it."""
        super().on_trial_complete(tune_controller, _named(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Expect no more results of it."""
        super().on_trial_remove(tune_controller, _named(trial))


class _MedianStopping(_Fifo, MedianStoppingWithoutPause):
    """Ray's median stopping rule, for which all attempts at a trial are one trial."""

    def restore_curve(self, trial: Any, curve: Mapping[int, float]) -> None:
        """Take in what `trial` has reported to an earlier process: epoch to value."""
        if curve:
            self.record(trial, [{EPOCH: epoch, TARGET: curve[epoch]} for epoch in sorted(curve)])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Compare it with the others, once at each epoch: a retried trial may repeat the last one."""
        recorded = self.recorded(_named(trial))
        if EPOCH in result and any(result[EPOCH] <= row[EPOCH] for row in recorded):
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, _named(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Do nothing: every epoch was reported before, and the last result has none."""
