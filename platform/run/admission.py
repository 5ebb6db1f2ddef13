"""Admission: the resources of a trial, whether the cluster has them, and how many trials run at a time. Without Ray.

A trial whose stages all have one worker runs in one process on one CPU. A trial with a stage of N workers, or with one
that always uses Ray Train, has a coordinator without a CPU and a placement group of N bundles. Ray reserves the bundles
together or not at all, so two trials never block each other with half of their workers.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platform.errors import UserError
from platform.options import Options
from platform.study.study import Study
from trainables.config.trial import TrialConfig, config_from_json
from trainables.graph import always_uses_ray_train, needed_stages, uses_gpu, workers_of
from trainables.stage_table import STAGES
from trainables.usable_cores import usable_cores

_FRACTION = 10_000
"""Ray counts GPUs in units of 1/10,000."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    cpus: int
    gpus: int = 0


@dataclass(frozen=True)
class Need:
    """The resources that a trial needs at the same time."""

    workers: int = 1
    """The largest number of workers that it can use."""
    stage: str = ""
    """The stage that sets this number."""
    whole_gpus: bool = False
    """Whether each worker needs a GPU of its own on a cluster with GPUs: NCCL does not let two workers share one."""
    min_workers: int | None = None
    """The smallest number of workers that it can run with; None: `workers`."""
    always_ray_train: bool = False
    """Whether Ray Train runs a stage also with one worker."""
    gpu: bool = True
    """Whether it computes on a GPU. One that does not leaves the GPUs of a cluster to others."""

    @property
    def has_coordinator(self) -> bool:
        """Whether its process has no resources of its own: they belong to the bundles of its workers."""
        return self.workers > 1 or self.always_ray_train

    @property
    def fewest_workers(self) -> int:
        """The smallest number of workers that it can run with."""
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def setting(self) -> str:
        """The field that asks for the workers."""
        return "noop.workers" if self.stage == "noop" else f"{self.stage}.train.workers"


@dataclass(frozen=True)
class Grant:
    """The resources of each trial and task, and how many trials run at a time."""

    concurrent: int
    gpus: float
    """GPUs per worker."""
    cpus: int = 1
    """CPUs per worker."""
    workers: int = 1
    """Workers per trial; with 1 the trial is its own worker."""

    @property
    def bundle(self) -> dict[str, float]:
        """The resources of a worker, in Ray's notation."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus > 0 else {})}


def share_out(study: Study, nodes: Sequence[Node], max_concurrent: int | None = None) -> Grant:
    """Return the resources that each trial of `study` gets.

    Raises:
        UserError: A trial, or a stage run that trials share, needs more CPUs or GPUs than the cluster has. The
            message shows both numbers.
    """
    for config in _configs(study):
        for stage in needed_stages(config, study.stages):
            admit(need_of(config, stage), nodes)
    return admit(trial_need(study), nodes, max_concurrent)


def trial_need(study: Study) -> Need:
    """Return the resources that a trial of `study` needs for the stages that it runs itself, in sequence."""
    own = study.own_stages()
    needs = [
        need_of(config, stage)
        for config in _configs(study)
        for stage in needed_stages(config, study.stages)
        if stage in own
    ]
    largest = max(needs, key=lambda need: (need.workers, need.whole_gpus), default=Need())
    largest = replace(
        largest,
        always_ray_train=any(need.always_ray_train for need in needs),
        gpu=any(need.gpu for need in needs) or not needs,
    )
    fewest_workers = max((need.fewest_workers for need in needs), default=1)
    return largest if fewest_workers == largest.fewest_workers else replace(largest, min_workers=fewest_workers)


def need_of(config: TrialConfig, stage: str) -> Need:
    """Return the resources that a run of `stage` needs."""
    min_workers, max_workers = workers_of(config, stage)
    train = getattr(getattr(config, stage, None), "train", None)
    gpu = uses_gpu(config, stage)
    return Need(
        max_workers,
        stage,
        whole_gpus=max_workers > 1 and train is not None and gpu,
        gpu=gpu,
        min_workers=None if min_workers == max_workers else min_workers,
        always_ray_train=always_uses_ray_train(config, stage),
    )


def _configs(study: Study) -> list[TrialConfig]:
    """Return one config for each combination of resources that the study asks for."""
    distinct = {_worker_fields(config): config for config in study.known_configs()}
    return [config_from_json(config) for config in distinct.values()]


def _worker_fields(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of a config (as JSON) that determine its resources. Many trials share the same values.

    The kind of a decoder is one of them: a solved one has one worker, whatever its section says. So is a field that
    chooses a stage.
    """
    fields = (each.field.split(".") for stage in STAGES.values() for each in stage.chosen)
    chosen = (config[section][name] for section, name in fields)
    sections = [section for section in config.values() if isinstance(section, Mapping)]
    parts = [{**section.get("train", section), "kind": section.get("kind")} for section in sections]
    names = ("workers", "device", "use_ray_train", "kind")
    return (config["system"], *chosen, *(tuple(map(part.get, names)) for part in parts if "workers" in part))


def admit(need: Need, nodes: Sequence[Node], max_concurrent: int | None = None) -> Grant:
    """Divide the cluster: each worker gets one CPU and, if there are GPUs, one GPU, or a share of a GPU.

    A GPU is shared if `max_concurrent` asks for more workers than there are GPUs. A trial that computes on none gets
    none. A trial that can run with fewer workers gets as many as the cluster has room for.

    Raises:
        UserError: A trial needs more CPUs or GPUs than the cluster has. The message shows both numbers.
    """
    if not need.gpu:
        nodes = [replace(node, gpus=0) for node in nodes]
    for workers in range(need.workers, need.fewest_workers, -1):
        with suppress(UserError):
            return _admit(replace(need, workers=workers), nodes, max_concurrent)
    return _admit(replace(need, workers=need.fewest_workers), nodes, max_concurrent)


def _admit(need: Need, nodes: Sequence[Node], max_concurrent: int | None) -> Grant:
    gpus, slots = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    if slots < need.workers:
        raise UserError(_too_many(need, nodes, "CPU", [node.cpus for node in nodes]))
    if gpus == 0:
        target, share = slots, 0.0
    elif need.whole_gpus:
        slots = sum(min(node.cpus, node.gpus) for node in nodes)
        if slots < need.workers:
            raise UserError(_too_many(need, nodes, "GPU", [node.gpus for node in nodes]))
        target, share = slots, 1.0
    else:
        target = min(slots, gpus) if max_concurrent is None else min(slots, max_concurrent * need.workers)
        sharing = math.ceil(max(target, need.workers) / gpus)
        slots = sum(min(node.cpus, node.gpus * sharing) for node in nodes)
        share = _FRACTION // sharing / _FRACTION
        if slots < need.workers:  # the nodes with GPUs have too few CPUs: run without GPUs
            return _admit(need, [replace(node, gpus=0) for node in nodes], max_concurrent)
    concurrent = min(slots, max(target, need.workers)) // need.workers
    concurrent = concurrent if max_concurrent is None else min(concurrent, max_concurrent)
    return Grant(concurrent=concurrent, gpus=share, workers=need.workers)


def _too_many(need: Need, nodes: Sequence[Node], kind: str, counts: Sequence[int]) -> str:
    if need.workers == 1:
        return f"a trial needs a {kind}, but the cluster has none; use a larger cluster (--address)"
    listed = ", ".join(f"{node.name}: {count}" for node, count in zip(nodes, counts, strict=True))
    cpu = f", {need.stage}.train.device: cpu" if kind == "GPU" else ""
    return (
        f"a trial needs {need.workers} {kind}s (1 for each of its workers, by {need.setting}), but the cluster has "
        f"{sum(counts)} ({listed}); set {need.setting} to at most {max(1, sum(counts))}{cpu}, or use a larger "
        "cluster (--address)"
    )


def worker_capacity(grant: Grant, nodes: Sequence[Node]) -> int:
    """Return how many workers of `grant` the nodes can run at the same time."""
    return sum(
        min(node.cpus // grant.cpus, int(node.gpus / grant.gpus) if grant.gpus > 0 else node.cpus) for node in nodes
    )


def _has_gpu() -> bool:
    """Return whether a driver of NVIDIA's shows its device files, without importing torch."""
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def refuse_here(study: Study, options: Options) -> None:
    """Refuse a study that is to run on this machine and needs more cores than it has. GPUs are not checked here.

    Raises:
        UserError: The machine has too few cores, or an option cannot be combined with `--inline`.
    """
    if options.inline:
        refuse_inline(options)
        refuse_absent_gpu(study, has_gpu=_has_gpu(), where="this machine has no GPU")
    elif options.address is None:
        share_out(study, [Node("this machine", usable_cores())])


def shared_resources(need: Need, trials: Grant, nodes: Sequence[Node]) -> tuple[int, float]:
    """Return CPUs and GPUs of a shared stage run in one process, which one of `nodes` has together.

    CPUs: as many as the stage can use, at most those of a node. GPUs, if the stage computes on one: the share of
    `trials`, or a whole one if trials compute on none.
    """
    gpus = trials.gpus if need.gpu and trials.gpus > 0 else admit(need, nodes).gpus
    cpus = max((node.cpus for node in nodes if node.gpus >= gpus), default=1)
    return max(1, min(STAGES[need.stage].cores, cpus)), gpus


def refuse_absent_gpu(study: Study, *, has_gpu: bool, where: str) -> None:
    """Raise `UserError` if a stage must train on a GPU and there is none. `where` says so."""
    for config in () if has_gpu else _configs(study):
        for stage in needed_stages(config, study.stages):
            train = getattr(getattr(config, stage, None), "train", None)
            if getattr(train, "device", "auto") == "cuda":
                raise UserError(
                    f"{stage}.train.device is cuda, but {where}; write auto or cpu, or use a cluster with a GPU "
                    "(--address)"
                )


def refuse_inline(options: Options) -> None:
    """Raise `UserError` if an option cannot be combined with `--inline`."""
    if options.stage_deadline is not None:
        raise UserError(
            "--stall-timeout: with --inline no other process can stop a stage; remove one of the two options"
        )
    if options.address is not None:
        raise UserError(
            f"--address {options.address}: with --inline no Ray cluster is used; remove one of the two options"
        )
    if options.max_concurrent not in (None, 1):
        raise UserError("--max-concurrent: with --inline one trial runs at a time; remove one of the two options")
