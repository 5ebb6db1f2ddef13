"""Admission: what a trial needs, whether the cluster can ever hold it, and how many run at a time. Pure, without Ray.

A trial whose stages all have one worker runs in one process on one CPU. One with a stage of N workers is a coordinator
without a CPU and N reserved places, which Ray hands out together or not at all: two trials never hold half each.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from platform.ablation.study import AblationStudy
from platform.definition.influence import varying_stages
from platform.definition.study import Study
from platform.errors import UserError
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
    stage: str = ""
    """The stage that asks for so many."""
    whole_gpus: bool = False
    """Whether each worker needs a GPU to itself where there are any: NCCL does not let two share one."""

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
    configs, own = list(_configs(study)), _own_stages(study)
    needs = {stage: [need_of(config, stage) for config in configs] for stage in ancestors(study.stages)}
    for need in chain.from_iterable(needs.values()):
        admit(need, nodes)
    private = [need for stage in own for need in needs[stage]]
    most = max(private, key=lambda need: (need.workers, need.whole_gpus), default=Need())
    return admit(most, nodes, max_concurrent)


def need_of(config: TrialConfig, stage: str) -> Need:
    """Return what a run of `stage` needs."""
    workers = workers_of(config, stage)
    train = getattr(getattr(config, stage, None), "train", None)
    return Need(workers, stage, whole_gpus=workers > 1 and train is not None and train.device != "cpu")


def _configs(study: Study) -> Iterable[TrialConfig]:
    """Return configs among which is the most demanding one."""
    if isinstance(study, AblationStudy):
        different = {_asked(spec.config): spec.config for spec in study.specs[:: study.repeats]}
        return [TrialConfig.model_validate(config) for config in different.values()]
    swept = {name: domain for name, domain in study.space.domains.items() if name.endswith(".workers")}
    most = {name: max(domain.bounds()) for name, domain in swept.items()}
    return [study.space.config({}), study.space.config(most)] if most else [study.space.config({})]


def _asked(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what in a config, as JSON, decides on needs; of many trials there are few kinds."""
    parts = [section.get("train", section) for section in config.values() if isinstance(section, Mapping)]
    return tuple((part["workers"], part.get("device")) for part in parts if "workers" in part)


def _own_stages(study: Study) -> set[str]:
    """Return the stages that trials run themselves."""
    if isinstance(study, AblationStudy):
        return {run.stage for spec in study.specs for run in spec.runs if study.uses[run.identity] == 1}
    return set(varying_stages(study.space.fields, study.stages))


def admit(need: Need, nodes: Sequence[Node], max_concurrent: int | None = None) -> Grant:
    """Share out the cluster: a CPU for each worker and, where there are GPUs, one; less if more are wanted at a time.

    Raises:
        UserError: The cluster can never hold one trial; says by how much.
    """
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
            return admit(need, [replace(node, gpus=0) for node in nodes], max_concurrent)
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


def refuse_here(study: Study, address: str | None) -> None:
    """Refuse a study that this machine can never hold, where it is to run here. Asks nobody: GPUs are not counted.

    Raises:
        UserError: It has too few cores.
    """
    if address is None:
        cores = os.cpu_count()
        share_out(study, [Node("this machine", cores if cores is not None else 1)])


def shared_cores(stage: str, nodes: Sequence[Node]) -> int:
    """Return how many CPUs a shared run of `stage` in one process gets: what it can use, if one node has as many."""
    return max(1, min(STAGES[stage].cores, max((node.cpus for node in nodes), default=1)))
