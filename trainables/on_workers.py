"""A training loop on several workers: Ray Train's TorchTrainer in the placement group of this process.

The platform reserves a bundle for each worker together with the trial. When the trial ends, its placement group is
removed, which ends all its processes. Ray Train by default creates a placement group for each training. That group
outlives a stopped trial unless another process and the dashboard remove it (ray issues 54305, 65881), and two trials
can each hold half of the resources they need. The trainer's controller runs in the trial's process, so a report is
answered at once. The only other processes are the workers and the actor that synchronises them. See
`trainables.ray_internals`.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray.train
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, UserCallback, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from trainables.context import EpochReport, Part
from trainables.ray_internals.train import RunsInThisProcess, death_of, raised_by

EPOCH, METRICS = "epoch", "metrics"
Loop = Callable[[dict[str, Any]], None]
"""A function that is called in each worker with a JSON object."""


def part_of_worker() -> Part:
    """Return the role of this worker, inside a loop that `run_on_workers` started. Selects the worker's GPU."""
    context = ray.train.get_context()
    device = get_device()
    if device.type == "cuda":
        import torch

        torch.cuda.set_device(device)
    return Part(_report, context.get_world_rank(), context.get_world_size(), under_ray_train=True)


def _report(epoch: int, metrics: Mapping[str, float]) -> None:
    ray.train.report({EPOCH: epoch, METRICS: json.dumps(dict(metrics))})


def run_on_workers(
    loop: Loop,
    settings: dict[str, Any],
    bundles: list[dict[str, float]],
    report: EpochReport,
    *,
    scratch: Path | None = None,
) -> None:
    """Run `loop(settings)` in one process per bundle; `bundles` are the first bundles granted to this process.

    The processes communicate by torch.distributed: with gloo, or with NCCL if they have GPUs. Ray Train's files lie in
    `scratch`; None: in the system's folder for temporary files.

    `report` is called once for each epoch, when all workers have finished it. Until it returns, the workers wait
    before the end of the next epoch. If it raises, the workers are ended.

    Raises:
        Exception: The exception of a worker, or Ray's error about a worker that died. Nothing is retried here.
    """
    resources = bundles[0]
    gpu = resources.get("GPU", 0) > 0
    with tempfile.TemporaryDirectory(prefix="mindsweep-train-", dir=scratch) as folder:
        # The type checker sees the classes of ray.train's first version, which do not have this argument.
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
    """Return the death of a worker, or else the exception of a worker; a lost connection only if there is no other."""
    failures = error.worker_failures.values()
    deaths = [death for failure in failures if (death := death_of(failure)) is not None]
    raised = [exception for failure in failures if (exception := raised_by(failure)) is not None]
    causes = [exception for exception in raised if type(exception).__name__ != "PeerLostError"]
    return next(iter([*deaths, *causes, *raised]), error)


class _ReportCallback(UserCallback):
    """Forwards the workers' reports, in the process that called `fit`."""

    def __init__(self, report: EpochReport) -> None:
        self._report = report

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Receive one report of all workers."""
        self._report(metrics[0][EPOCH], json.loads(metrics[0][METRICS]))


class _Trainer(RunsInThisProcess, TorchTrainer):
    """A TorchTrainer in the placement group of this process."""
