"""Ray Train, in the process of a trial or of a shared stage run.

The controller is imported inside functions, because the import takes about half a second and only a training that runs
on workers needs it.
"""

import asyncio
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

if TYPE_CHECKING:
    from ray.train import UserCallback

START_ERRORS: tuple[type[Exception], ...] = (WorkerGroupStartupTimeoutError, WorkerGroupStartupFailedError)
"""Ray Train's errors if a worker or its node is lost before all workers have started.

`trainables.failure` recognises them by their class names, since it does not import Ray.
"""


def death_of(failure: BaseException) -> BaseException | None:
    """Return Ray's error about the death of a worker process, if `failure` is one; else None.

    `failure` is a value of the public `WorkerGroupError.worker_failures`, whose classes are private.
    """
    return failure.health_check_failure if isinstance(failure, WorkerHealthCheckFailedError) else None


def raised_by(failure: BaseException) -> BaseException | None:
    """Return the exception that the code of a worker raised, if `failure` wraps one; else None.

    Uses `UserExceptionWithTraceback._base_exc`. The public error contains its traceback as text only.
    """
    return failure._base_exc if isinstance(failure, UserExceptionWithTraceback) else None


class RunsInThisProcess:
    """Mixin of a Ray Train trainer: its controller runs in this process, its workers in this placement group.

    Ray Train starts an actor for the controller, creates a placement group for each training, and starts a detached
    actor that removes the group later (ray issues 54305 and 65881). There is no option against this. Overrides
    `_create_default_callbacks` and `_initialize_and_run_controller`.
    """

    train_run_context: Any
    """Ray Train's description of this training."""
    report_callback: "UserCallback"
    """Receives each report in this process. It is not part of RunConfig, which is sent to the workers."""

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
    """The placement group of this process. The process that created it removes it."""

    def shutdown(self) -> None:
        """Keep the placement group."""


class _WorkerGroup(WorkerGroup):
    """Starts its workers in the placement group of this process instead of a new one."""

    def _create_placement_group(self, *_: Any) -> _PlacementGroup:
        group = ray.util.get_current_placement_group()
        assert group is not None, "the caller runs in a placement group with a bundle for each worker"
        return _PlacementGroup(group)


def _fixed_scaling(config: Any) -> Any:
    """Return Ray Train's policy for a fixed number of workers, without its requests to the autoscaler.

    The resources are already granted. Ray Train would start an actor that requests them a second time.
    """
    from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy

    class FixedScalingWithoutRequests(FixedScalingPolicy):
        def after_controller_start(self, train_run_context: Any) -> None:
            """Create no client of the autoscaler."""

        def _maybe_send_resource_request(self) -> None:
            pass

    return FixedScalingWithoutRequests(config)
