"""Admission: what a trial needs, whether the cluster can ever hold it, and how many run at a time. Pure, without Ray.

A trial whose stages all have one worker runs in one process on one CPU. One with a stage of N workers is a coordinator
without a CPU and N reserved places, which Ray hands out together or not at all: two trials never hold half each.
"""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from platform.errors import UserError
from platform.options import Options
from platform.study.study import Study
from trainables.config.trial import TrialConfig
from trainables.graph import STAGES, ancestors, workers_of

_FRACTION = 10_000
"""Ray counts GPUs in such parts of one."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    cpus: int
    gpus: int = 0


@dataclass(frozen=True)
class Need:
    """What a trial needs at a time."""

    workers: int = 1
    """The most that it can use."""
    stage: str = ""
    """The stage that asks for so many."""
    whole_gpus: bool = False
    """Whether each worker needs a GPU to itself where there are any: NCCL does not let two share one."""
    least: int | None = None
    """The fewest workers that it can do with; None: no fewer than `workers`."""

    @property
    def fewest(self) -> int:
        """The fewest workers that it can do with."""
        return self.workers if self.least is None else self.least

    @property
    def setting(self) -> str:
        """The field that asks for the workers."""
        return "noop.workers" if self.stage == "noop" else f"{self.stage}.train.workers"


@dataclass(frozen=True)
class Grant:
    """What each trial and task gets, and how many trials run at a time."""

    concurrent: int
    gpus: float
    """Of each worker."""
    cpus: int = 1
    """Of each worker."""
    workers: int = 1
    """Of each trial; with 1 the trial is its own worker."""

    @property
    def bundle(self) -> dict[str, float]:
        """What a worker gets, as Ray names it."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus > 0 else {})}


def share_out(study: Study, nodes: Sequence[Node], max_concurrent: int | None = None) -> Grant:
    """Return what each trial of `study` gets of the cluster.

    Raises:
        UserError: The cluster can never hold one trial, or one stage run that trials share; says by how much.
    """
    for config in _configs(study):
        for stage in ancestors(study.stages):
            admit(need_of(config, stage), nodes)
    return admit(trial_need(study), nodes, max_concurrent)


def trial_need(study: Study) -> Need:
    """Return what a trial of `study` needs for the stages that it runs itself, one after the other."""
    needs = [need_of(config, stage) for config in _configs(study) for stage in study.own_stages()]
    most = max(needs, key=lambda need: (need.workers, need.whole_gpus), default=Need())
    fewest = max((need.fewest for need in needs), default=1)
    return most if fewest == most.fewest else replace(most, least=fewest)


def need_of(config: TrialConfig, stage: str) -> Need:
    """Return what a run of `stage` needs."""
    least, most = workers_of(config, stage)
    train = getattr(getattr(config, stage, None), "train", None)
    whole_gpus = most > 1 and train is not None and train.device != "cpu"
    return Need(most, stage, whole_gpus=whole_gpus, least=None if least == most else least)


def _configs(study: Study) -> list[TrialConfig]:
    """Return all configs that differ in what they need."""
    different = {_asked(config): config for config in study.known_configs()}
    return [TrialConfig.model_validate(config) for config in different.values()]


def _asked(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what in a config, as JSON, decides on needs; of many trials there are few kinds."""
    parts = [section.get("train", section) for section in config.values() if isinstance(section, Mapping)]
    return tuple((part["workers"], part.get("device")) for part in parts if "workers" in part)


def admit(need: Need, nodes: Sequence[Node], max_concurrent: int | None = None) -> Grant:
    """Share out the cluster: a CPU for each worker and, where there are GPUs, one; less if more are wanted at a time.

    A trial that can do with fewer workers gets as many as there is room for.

    Raises:
        UserError: The cluster can never hold one trial; says by how much.
    """
    for workers in range(need.workers, need.fewest, -1):
        with suppress(UserError):
            return _admit(replace(need, workers=workers), nodes, max_concurrent)
    return _admit(replace(need, workers=need.fewest), nodes, max_concurrent)


def _admit(need: Need, nodes: Sequence[Node], max_concurrent: int | None) -> Grant:
    gpus, slots = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    if slots < need.workers:
        raise UserError(_too_many(need, nodes, "CPU", [node.cpus for node in nodes]))
    if gpus == 0:
        wanted, share = slots, 0.0
    elif need.whole_gpus:
        slots = sum(min(node.cpus, node.gpus) for node in nodes)
        if slots < need.workers:
            raise UserError(_too_many(need, nodes, "GPU", [node.gpus for node in nodes]))
        wanted, share = slots, 1.0
    else:
        wanted = min(slots, gpus) if max_concurrent is None else min(slots, max_concurrent * need.workers)
        sharing = math.ceil(max(wanted, need.workers) / gpus)
        slots = sum(min(node.cpus, node.gpus * sharing) for node in nodes)
        share = _FRACTION // sharing / _FRACTION
        if slots < need.workers:  # the nodes with GPUs have too few CPUs: it runs without
            return _admit(need, [replace(node, gpus=0) for node in nodes], max_concurrent)
    most = min(slots, max(wanted, need.workers)) // need.workers
    concurrent = most if max_concurrent is None else min(most, max_concurrent)
    return Grant(concurrent=concurrent, gpus=share, workers=need.workers)


def _too_many(need: Need, nodes: Sequence[Node], kind: str, counts: Sequence[int]) -> str:
    if need.workers == 1:
        return f"a trial needs a {kind}, but the cluster has none; take a larger one (--address)"
    listed = ", ".join(f"{node.name}: {count}" for node, count in zip(nodes, counts, strict=True))
    cpu = f", {need.stage}.train.device: cpu" if kind == "GPU" else ""
    return (
        f"a trial needs {need.workers} {kind}s (1 for each of its workers, by {need.setting}), but the cluster has "
        f"{sum(counts)} ({listed}); set {need.setting} to at most {max(1, sum(counts))}{cpu}, or take a larger "
        "cluster (--address)"
    )


def held(grant: Grant, nodes: Sequence[Node]) -> int:
    """Return how many workers of `grant` the nodes hold at a time."""
    return sum(
        min(node.cpus // grant.cpus, int(node.gpus / grant.gpus) if grant.gpus > 0 else node.cpus) for node in nodes
    )


def refuse_here(study: Study, options: Options) -> None:
    """Refuse a study that this machine can never hold, where it is to run here. Asks nobody: GPUs are not counted.

    Raises:
        UserError: It has too few cores, or one process cannot do what `--inline` comes with.
    """
    if options.inline:
        refuse_inline(options)
    elif options.address is None:
        cores = os.cpu_count()
        share_out(study, [Node("this machine", cores if cores is not None else 1)])


def shared_cores(stage: str, nodes: Sequence[Node]) -> int:
    """Return how many CPUs a shared run of `stage` in one process gets: what it can use, if one node has as many."""
    return max(1, min(STAGES[stage].cores, max((node.cpus for node in nodes), default=1)))


def refuse_inline(options: Options) -> None:
    """Raise `UserError` if `options` ask for what one process cannot do."""
    if options.stage_deadline is not None:
        raise UserError("--stall-timeout: with --inline no other process can end a stage; leave one of them out")
    if options.address is not None:
        raise UserError(f"--address {options.address}: with --inline no Ray cluster is used; leave one of them out")
    if options.max_concurrent not in (None, 1):
        raise UserError("--max-concurrent: with --inline one trial runs at a time; leave one of them out")
