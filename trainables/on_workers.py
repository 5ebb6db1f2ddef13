"""A training loop on several workers: Ray Train's TorchTrainer, on the placement group this process was granted.

Left to itself, Ray Train makes a placement group of its own for each training, which outlives a trial that is stopped
unless yet another process and the dashboard see to it (ray issues 54305, 65881), and which two trials can each hold
half of. Here whoever starts a trial reserves the workers' places with it, one bundle for each, and takes them back with
it: removing a placement group ends whatever runs there. The trainer's controller runs in the trial's own process, so
that a report is answered there and then, and there are no processes beside the workers and their meeting point.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, get_device
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from trainables.context import Part, Report

EPOCH, METRICS = "epoch", "metrics"
Loop = Callable[[dict[str, Any]], None]
"""Is called in each worker, with a JSON object."""


def part_of_worker() -> Part:
    """Return which worker this process is, for a loop that `run_on_workers` called; it then computes on its own GPU."""
    context = ray.train.get_context()
    device = get_device()
    if device.type == "cuda":
        import torch

        torch.cuda.set_device(device)
    return Part(_reported, context.get_world_rank(), context.get_world_size())


def _reported(epoch: int, metrics: Mapping[str, float]) -> None:
    ray.train.report({EPOCH: epoch, METRICS: json.dumps(dict(metrics))})


def run_on_workers(loop: Loop, settings: dict[str, Any], bundles: list[dict[str, float]], report: Report) -> None:
    """Run `loop(settings)` in a process for each of `bundles`, the first of those that this process was granted.

    torch.distributed joins them: gloo, or NCCL where they have GPUs.

    `report` hears of each epoch once, when all have come to its end; while it thinks they wait before the end of the
    next. If it raises, the workers are ended.

    Raises:
        Exception: What a worker raised, or Ray's error of one that was lost. Nothing is tried again here.
    """
    resources = bundles[0]
    gpu = resources.get("GPU", 0) > 0
    with tempfile.TemporaryDirectory(prefix="mindsweep-train-") as folder:
        trainer = _Trainer(
            loop,
            report=report,
            train_loop_config=settings,
            scaling_config=ScalingConfig(num_workers=len(bundles), resources_per_worker=resources, use_gpu=gpu),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo"),
            run_config=RunConfig(
                name="train",
                storage_path=folder,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )
        try:
            trainer.fit()
        except ControllerError as error:
            raise error.controller_failure from error
        except WorkerGroupError as error:
            raise _reason(error) from error


def _reason(error: WorkerGroupError) -> BaseException:
    """Return what ended a worker, or what one raised: of several, not that it misses the one that was ended."""
    failures = error.worker_failures.values()
    ended = [each.health_check_failure for each in failures if isinstance(each, WorkerHealthCheckFailedError)]
    raised = [each._base_exc for each in failures if isinstance(each, UserExceptionWithTraceback)]
    reasons = [*ended, *(each for each in raised if type(each).__name__ != "PeerLostError"), *raised]
    return next(iter(reasons), error)


class _Hears(UserCallback):
    """Passes reports on; in the controller's process, which is the one that called `fit`."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Take in one report of all workers."""
        self._report(metrics[0][EPOCH], json.loads(metrics[0][METRICS]))


class _Granted(DefaultPlacementGroupHandle):
    """The placement group of this process; not the workers' to give back."""

    def shutdown(self) -> None:
        """Leave it."""


class _WorkerGroup(WorkerGroup):
    """Workers in the bundles of this process's placement group."""

    def _create_placement_group(self, *_: Any) -> _Granted:
        group = ray.util.get_current_placement_group()
        assert group is not None, "whoever calls on several workers was granted them"
        return _Granted(group)


class _Controller(TrainController):
    worker_group_cls = _WorkerGroup


class _Scaling(FixedScalingPolicy):
    """Asks no autoscaler for what has been granted."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Do nothing."""

    def _maybe_send_resource_request(self) -> None:
        pass


class _Trainer(TorchTrainer):
    """A TorchTrainer that reserves nothing and runs its controller here."""

    def __init__(self, loop: Loop, *, report: Report, **settings: Any) -> None:
        super().__init__(loop, **settings)
        self._report = report

    def _create_default_callbacks(self) -> list[Any]:
        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        needed = [each for each in super()._create_default_callbacks() if not isinstance(each, unused)]
        # Not through RunConfig, which goes to the workers with all it holds.
        return [*needed, UserCallbackHandler([_Hears(self._report)], self.train_run_context)]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        controller = _Controller(**{**settings, "scaling_policy": _Scaling(settings["scaling_policy"].scaling_config)})
        try:
            asyncio.run(controller.run())  # type: ignore[no-untyped-call]
            return controller.get_result()
        finally:
            group = controller.get_worker_group()
            if group is not None and group.has_started():
                group.abort()  # type: ignore[no-untyped-call]
