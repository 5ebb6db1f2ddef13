"""A training loop on several workers: Ray Train's TorchTrainer, in the placement group that this process was granted.

Whoever starts a trial reserves a bundle for each worker together with the trial, and removes the placement group with
it, which ends whatever runs there. Ray Train by itself creates a placement group for each training: that one outlives a
stopped trial unless another process and the dashboard remove it (ray issues 54305, 65881), and two trials can each hold
half of what they need. The trainer's controller runs in the trial's own process. So a report is answered at once, and
there are no processes beside the workers and the actor in which they meet. How: `trainables.ray_internals`.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import ray.train
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, UserCallback, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from trainables.context import EpochReport, Part
from trainables.ray_internals import RunsInThisProcess, death_of, raised_by

EPOCH, METRICS = "epoch", "metrics"
Loop = Callable[[dict[str, Any]], None]
"""A function that is called in each worker, with a JSON object."""


def part_of_worker() -> Part:
    """Return which worker this process is, inside a loop that `run_on_workers` called, and select the worker's GPU."""
    context = ray.train.get_context()
    device = get_device()
    if device.type == "cuda":
        import torch

        torch.cuda.set_device(device)
    return Part(_reported, context.get_world_rank(), context.get_world_size())


def _reported(epoch: int, metrics: Mapping[str, float]) -> None:
    ray.train.report({EPOCH: epoch, METRICS: json.dumps(dict(metrics))})


def run_on_workers(loop: Loop, settings: dict[str, Any], bundles: list[dict[str, float]], report: EpochReport) -> None:
    """Run `loop(settings)` in one process for each of `bundles`: the first bundles that were granted to this process.

    The processes are joined by torch.distributed: by gloo, or by NCCL where they have GPUs.

    `report` is called once for each epoch, when all workers have finished it. Until it returns, they wait before the
    end of the next epoch. If it raises, the workers are ended.

    Raises:
        Exception: What a worker raised, or Ray's error about a worker that died. Nothing is retried here.
    """
    resources = bundles[0]
    gpu = resources.get("GPU", 0) > 0
    with tempfile.TemporaryDirectory(prefix="mindsweep-train-") as folder:
        # To the type checker ray.train has the classes of its first version, which lack this argument.
        failures = FailureConfig(max_failures=0, controller_failure_limit=0)  # type: ignore[call-arg]
        trainer = _Trainer(
            loop,
            train_loop_config=settings,
            scaling_config=ScalingConfig(num_workers=len(bundles), resources_per_worker=resources, use_gpu=gpu),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo"),
            run_config=RunConfig(name="train", storage_path=folder, failure_config=failures),
        )
        trainer.report_callback = _ReportCallback(report)
        try:
            trainer.fit()
        except ControllerError as error:
            raise error.controller_failure from error
        except WorkerGroupError as error:
            raise _reason(error) from error


def _reason(error: WorkerGroupError) -> BaseException:
    """Return what ended a worker, or else what a worker raised; preferably not that it lost contact to another one."""
    failures = error.worker_failures.values()
    deaths = [death for failure in failures if (death := death_of(failure)) is not None]
    raised = [exception for failure in failures if (exception := raised_by(failure)) is not None]
    causes = [exception for exception in raised if type(exception).__name__ != "PeerLostError"]
    return next(iter([*deaths, *causes, *raised]), error)


class _ReportCallback(UserCallback):
    """Passes reports on, in the process that called `fit`."""

    def __init__(self, report: EpochReport) -> None:
        self._report = report

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Take in one report of all workers."""
        self._report(metrics[0][EPOCH], json.loads(metrics[0][METRICS]))


class _Trainer(RunsInThisProcess, TorchTrainer):
    """A TorchTrainer in the placement group of this process."""
