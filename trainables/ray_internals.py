"""Every private name of Ray that the project uses, each behind a function or class of ours. No other file may use one.

A name is private if it starts with an underscore, lies in a module that Ray does not document, or is an attribute that
Ray does not document. `ray` is bounded to one minor version for their sake. After an upgrade,
`tests/trainables/test_ray_internals.py` says which of them is gone or behaves differently; docs/scaling.md, "If a
private name of Ray goes away", says what replaces it and what is lost.

The driver (`platform/run/ray`) uses the first two parts, workers use the third. What belongs to Ray Train's controller
is imported inside functions: it costs about half a second, and the driver does not need it.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial

if TYPE_CHECKING:
    from ray.train import UserCallback

# ---- Ray's core, in the driver ----


def start_cluster(folder: str, **settings: Any) -> None:
    """Call `ray.init` so that a new cluster on this machine writes its sockets and logs below `folder`.

    Uses the argument `_temp_dir`. The variable RAY_TMPDIR does the same, but every process of the cluster inherits it.
    """
    ray.init(_temp_dir=folder, **settings)


def show_as_command(command: str) -> None:
    """Let Ray's job table show `command` as what started this process; call it before `ray.init`.

    Replaces `ray._private.utils.get_entrypoint_name`. Ray has no option for it: every user of a cluster can read the
    command line of every driver, with the passwords in it.
    """
    ray._private.utils.get_entrypoint_name = lambda: command


def keep_from_trials(variables: Iterable[str]) -> None:
    """Keep Ray Tune from copying these environment variables of the driver into the runtime environment of each trial.

    Takes them out of `ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE`. Ray has no option for it, and runtime
    environments are shown to every user of a cluster.
    """
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(variables)


# ---- Ray Tune, in the driver ----


def kill_worker(trial: Any) -> None:
    """End the process that runs `trial`, even a process that is stopped; Tune then reports the trial as failed.

    Uses `Trial.temporary_state.ray_actor`. Tune's public API can only ask a trial to stop at its next result, and a
    stalled trial has none.
    """
    ray.kill(trial.temporary_state.ray_actor)


def error_text(trial: Any) -> str:
    """Return what Tune wrote about the failure of `trial`: a traceback, or how its process or node died.

    Uses `Trial.error_file`. `Trial.get_error` reads the copy in Tune's storage, which is made later.
    """
    return Path(trial.error_file).read_text(encoding="utf-8")


def stop_pending_trials(tune_controller: Any, count: int) -> None:
    """Stop the first `count` trials that wait for their placement group.

    Uses `TuneController.get_live_trials` and `stop_trial`. A scheduler is handed the controller, but its methods are
    not documented, and a scheduler's public answers (CONTINUE, PAUSE, STOP) exist only for trials that report.
    """
    pending = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
    for trial in pending[:count]:
        tune_controller.stop_trial(trial)


# ---- Ray Train, in the process of a trial or of a shared stage run ----

START_ERRORS: tuple[type[Exception], ...] = (WorkerGroupStartupTimeoutError, WorkerGroupStartupFailedError)
"""What Ray Train raises where a worker or its node is gone before all workers have started.

`trainables.failure` tells them by the names of their classes, since it imports no engine.
"""


def death_of(failure: BaseException) -> BaseException | None:
    """Return Ray's error about the death of a worker process, if that is what `failure` is.

    `failure` is a value of the public `WorkerGroupError.worker_failures`, whose classes are private.
    """
    return failure.health_check_failure if isinstance(failure, WorkerHealthCheckFailedError) else None


def raised_by(failure: BaseException) -> BaseException | None:
    """Return the exception that a worker's own code raised, if `failure` stands for one.

    Uses `UserExceptionWithTraceback._base_exc`. The public error holds its traceback as text only.
    """
    return failure._base_exc if isinstance(failure, UserExceptionWithTraceback) else None


class RunsInThisProcess:
    """Mixed into a Ray Train trainer: its controller runs in this process, its workers in this placement group.

    Ray Train starts an actor for the controller, creates a placement group for each training, and keeps a detached
    actor that removes the group later (ray issues 54305 and 65881). None of it can be turned off. Overrides
    `_create_default_callbacks` and `_initialize_and_run_controller`.
    """

    train_run_context: Any
    """Ray Train's description of this training."""
    report_callback: "UserCallback"
    """Hears each report, in this process; not part of RunConfig, which is sent to the workers with all it holds."""

    def _create_default_callbacks(self) -> list[Any]:
        from ray.train.v2._internal.callbacks import DatasetsCallback
        from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
        from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler

        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        needed = [callback for callback in callbacks if not isinstance(callback, unused)]
        return [*needed, UserCallbackHandler([self.report_callback], self.train_run_context)]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        from ray.train.v2._internal.execution.controller import TrainController

        policy = _fixed_scaling(settings["scaling_policy"].scaling_config)
        controller = TrainController(**{**settings, "scaling_policy": policy})
        controller.worker_group_cls = _WorkerGroup
        try:
            asyncio.run(controller.run())  # type: ignore[no-untyped-call]
            return controller.get_result()
        finally:
            group = controller.get_worker_group()
            if group is not None and group.has_started():
                group.abort()  # type: ignore[no-untyped-call]


class _PlacementGroup(DefaultPlacementGroupHandle):
    """The placement group of this process. Whoever created it removes it."""

    def shutdown(self) -> None:
        """Leave the group as it is."""


class _WorkerGroup(WorkerGroup):
    """Starts its workers in the placement group of this process, in which Ray Train would create one."""

    def _create_placement_group(self, *_: Any) -> _PlacementGroup:
        group = ray.util.get_current_placement_group()
        assert group is not None, "the caller runs in a placement group with a bundle for each worker"
        return _PlacementGroup(group)


def _fixed_scaling(config: Any) -> Any:
    """Return Ray Train's policy for a fixed number of workers, which asks no autoscaler for resources.

    They are granted already; Ray Train would request them a second time and start an actor that does so.
    """
    from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy

    class FixedScalingWithoutRequests(FixedScalingPolicy):
        def after_controller_start(self, train_run_context: Any) -> None:
            """Create no client of the autoscaler."""

        def _maybe_send_resource_request(self) -> None:
            pass

    return FixedScalingWithoutRequests(config)
