"""Early stopping of trials on Ray Tune, by the rule of the study. Its time is the epoch of the target's stage."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from platform.run.early_stopping import StoppingRule, stopping_rule
from platform.study.study import Study
from trainables.on_ray import EPOCH, TARGET
from trainables.ray_internals.tune import keep_starting_workers, stop_pending_trials

CountStranded = Callable[[], int]


def scheduler(
    study: Study, curves: Mapping[str, Mapping[int, float]], too_large: CountStranded = int
) -> TrialScheduler:
    """Return the scheduler of `study`.

    Args:
        study: Names the scheduler and its options.
        curves: What trials reported before this process started: trial to epoch to the value of the first target. They
            count as if this scheduler had received them.
        too_large: Returns how many pending trials need more than the nodes can hold. That many pending trials are
            stopped before each choice of a trial; the dispatcher hands them out again.
    """
    return _RuleScheduler(stopping_rule(study, curves), too_large)


class _RuleScheduler(FIFOScheduler):
    """Runs trials in their order. Stops those that the rule stops, and pending ones that the nodes cannot hold."""

    def __init__(self, rule: StoppingRule, too_large: CountStranded) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule, self._too_large = rule, too_large

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Stop pending trials that the nodes cannot hold, and leave the choice to Tune."""
        keep_starting_workers(tune_controller)
        stop_pending_trials(tune_controller, self._too_large())
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Ask the rule at each epoch. Tune has a trial for each attempt; for the rule they are one trial."""
        if EPOCH not in result or TARGET not in result:
            return str(TrialScheduler.CONTINUE)
        stops = self._rule.stops(str(trial.config["trial"]), result[EPOCH], result[TARGET])
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)
