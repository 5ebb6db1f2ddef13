"""Ray Tune, in the driver."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.air._internal import usage
from ray.tune import registry
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment import trial as trial_module


def pass_nothing_to_trials() -> None:
    """Keep Ray Tune from giving each trial a runtime environment, with environment variables of the driver in it.

    Empties `ENV_VARS_TO_PROPAGATE` and `DEFAULT_ENV_VARS` of `ray.tune.execution.class_cache`. Ray has no option for
    this. Credentials are among these variables, and every user of a cluster can read runtime environments. Besides, the
    worker processes that Ray starts ahead have none, so each trial would wait for the start of another process. What
    trials need reaches them by the cluster's environment, or the job's.
    """
    class_cache.ENV_VARS_TO_PROPAGATE.clear()
    class_cache.DEFAULT_ENV_VARS.clear()


def count_no_callbacks() -> None:
    """Keep `tune.run` from counting callbacks for usage statistics: it would import MLflow for that, for a second.

    Replaces `ray.air._internal.usage.tag_callbacks`, which does so even if statistics are switched off.
    """
    usage.tag_callbacks = lambda callbacks: False


def look_up_once() -> None:
    """Keep Tune from asking the cluster three times for each trial whether it knows the trial function.

    Replaces `validate_trainable` and `get_trainable_cls` in `ray.tune.experiment.trial` by ones that remember, for one
    study, what they found. Ray has no option for this.
    """
    known = cache(registry.get_trainable_cls)
    vars(trial_module).update(get_trainable_cls=known, validate_trainable=known)


def keep_no_state() -> None:
    """Keep Tune from writing the state of all trials, again and again and at the end, and from reading it back.

    Only Tune would use it: the store has all of it. At the end alone it takes a millisecond and more for each trial.

    Replaces `TuneController.checkpoint`, and `ExperimentAnalysis` in `ray.tune.tune`, which wants a state to be there;
    so `tune.run` returns None. TUNE_GLOBAL_CHECKPOINT_S would prevent all but the last state.
    """
    vars(import_module("ray.tune.tune"))["ExperimentAnalysis"] = lambda **results: None
    TuneController.checkpoint = lambda controller, **how: None  # type: ignore[method-assign]


def kill_worker(trial: Any) -> None:
    """Kill the process that runs `trial`, even if it is suspended. Tune then reports the trial as failed.

    Uses `Trial.temporary_state.ray_actor`. Tune's public API stops a trial only at its next result, and a stalled trial
    has none.
    """
    ray.kill(trial.temporary_state.ray_actor)


def error_text(trial: Any) -> str:
    """Return Tune's text about the failure of `trial`: a traceback, or how its process or node died.

    Uses `Trial.error_file`. `Trial.get_error` reads the copy in Tune's storage, which is written later.
    """
    return Path(trial.error_file).read_text(encoding="utf-8")


def stop_pending_trials(tune_controller: Any, count: int) -> None:
    """Stop the first `count` trials that wait for their placement group.

    Uses `TuneController.get_live_trials` and `stop_trial`. A scheduler gets the controller as an argument, but its
    methods are not documented. The public decisions (CONTINUE, PAUSE, STOP) exist only for trials that report.
    """
    pending = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
    for trial in pending[:count]:
        tune_controller.stop_trial(trial)


def keep_starting_workers(tune_controller: Any) -> None:
    """Keep Tune from ending a worker that is still starting when the worker of another trial becomes free.

    Tune gives the free worker to the trial whose own worker is starting, and ends that one. With trials shorter than
    the start of a worker, the study would run on a single worker. With this, the free worker waits for the next trial.

    A trial that still waits for its resources does take the free worker: after the loss of a node, the free worker may
    hold the only ones.

    Wraps `TuneController._maybe_reuse_cached_actor` and reads `_trial_to_actor`, `_resetting_trials` and
    `_actor_manager.is_actor_started`. Calls after the first do nothing.
    """
    controller = tune_controller._tune_controller
    if "_maybe_reuse_cached_actor" in vars(controller):
        return
    reuse = controller._maybe_reuse_cached_actor

    def reuse_unless_starting(trial: Any) -> bool:
        own = controller._trial_to_actor.get(trial)
        has_resources = own is not None and controller._actor_manager.is_actor_started(own)
        starting = has_resources and trial not in controller._resetting_trials
        return False if starting else bool(reuse(trial))

    controller._maybe_reuse_cached_actor = reuse_unless_starting
