"""What a study will do, before it does it: distinct stage runs, what the store already holds, time and bytes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

from platform.study.study import Study
from platform.study.swept_stages import varying_stages
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.runs import RunStore
from trainables.graph import STAGES, StageRun, ancestors

MAX_LISTED = 10_000
"""Trials of a grid whose stage runs are told apart one by one; of larger grids the rest is counted as distinct."""
_SAMPLE = 25
"""Stored runs of a stage from which time and bytes are forecast."""

FIRST_GUESSES: Mapping[str, tuple[float, int]] = {
    "data": (25.0, 300_000_000),
    "features": (130.0, 220_000_000),
    "voxels": (4.0, 11_000_000),
    "semantic": (10.0, 4_000_000),
    "structure": (8.0, 6_000_000),
    "motion": (15.0, 10_000_000),
    "controls": (60.0, 12_000_000),
    "reconstruct": (60.0, 12_000_000),
    "evaluate": (30.0, 4_000_000),
    "importance": (60.0, 200_000),
    "noop": (0.05, 1_000),
}
"""Seconds and bytes of one run with the phantom preset on two CPU cores, until the store knows better."""


@dataclass(frozen=True)
class Forecast:
    """What one run of a stage is expected to take."""

    seconds: float
    bytes: int
    samples: int
    """Stored runs of this stage, whatever their config, whose median this is; 0 for a first guess."""


@dataclass(frozen=True)
class StagePlan:
    """The runs of one stage in a study."""

    stage: str
    shared: bool
    """Whether no swept field changes it, so that all trials (of a seed) share its run."""
    runs: int
    """Distinct runs; an upper bound unless `exact`."""
    exact: bool
    cached: int
    """Runs that need no work, among those known beforehand: stored, or part of a trial that has ended."""
    forecast: Forecast

    @property
    def to_do(self) -> int:
        """Runs that are left to do."""
        return self.runs - self.cached


@dataclass(frozen=True)
class Plan:
    """What a study will do."""

    shared: tuple[StageRun, ...]
    """Run once before the trials that need them, inputs first."""
    stages: tuple[StagePlan, ...]
    """Every stage that is needed, inputs first."""
    trials: int
    """Points times repeats."""
    ended: int
    """Trials of this study that an earlier call has finished."""
    cached: frozenset[str]
    """Identities that need no work, among those known beforehand: the store holds them, or their trials have ended."""

    @property
    def private_stages(self) -> tuple[str, ...]:
        """The stages that each trial runs for itself, inputs first."""
        return tuple(stage.stage for stage in self.stages if not stage.shared)

    @property
    def seconds(self) -> float:
        """Forecast of compute time, summed over the runs that are left to do; at most, if their number is a bound."""
        return sum(stage.to_do * stage.forecast.seconds for stage in self.stages)

    @property
    def bytes(self) -> int:
        """Forecast of what the store grows by; at most, if the number of runs is a bound."""
        return sum(stage.to_do * stage.forecast.bytes for stage in self.stages)


def make_plan(study: Study, store: Store) -> Plan:
    """Plan `study` against what `store` holds. Writes nothing.

    Raises:
        storage.errors.UnavailableError: The store cannot be read.
    """
    shared, past = study.shared_runs(), _past(study, store)
    known = {run.identity: run for run in (*shared, *past.runs)}
    points = (study.space.grid() if study.sampler == "grid" else list(study.space.points))[: study.trials]
    listed = {
        point: values for point, values in enumerate(points[: MAX_LISTED // study.repeats]) if point not in past.points
    }
    for point, values in listed.items():
        for repeat in range(study.repeats):
            known.update((run.identity, run) for run in study.spec(point, repeat, values).runs)
    stored = {stage: stored_runs(store, stage) for stage in ancestors(study.stages)}
    private = varying_stages(study.space.fields, study.stages)
    ended = {run.identity for run in past.runs if run.identity in past.ended and run.stage in private}
    cached = frozenset(name for name, run in known.items() if name in stored[run.stage] or name in ended)
    unknown_points = max(0, study.trials - len(listed) - len(past.points))
    stages = []
    for stage in stored:
        identities = [run.identity for run in known.values() if run.stage == stage]
        more = _most_runs(study, stage, points=unknown_points) if stage in private else 0
        limit = max(len(identities), _most_runs(study, stage, points=study.trials))
        plan = StagePlan(
            stage=stage,
            shared=stage not in private,
            runs=min(len(identities) + more, limit),
            exact=more == 0,
            cached=sum(identity in cached for identity in identities),
            forecast=forecast(store, stage, stored[stage]),
        )
        stages.append(plan)
    return Plan(shared, tuple(stages), study.trial_count, past.trials, cached)


@dataclass(frozen=True)
class _Past:
    """What an earlier call of the same study left on record."""

    points: frozenset[int]
    """Those of which all repeats were proposed."""
    trials: int
    """Trials that have ended, one way or another."""
    runs: tuple[StageRun, ...]
    ended: frozenset[str]
    """Identities of the runs of trials that have ended; the runs of stopped ones are not in the store."""


def _past(study: Study, store: Store) -> _Past:
    proposed: dict[str, Mapping[str, Any]] = {}
    ended = set()
    for event in EventLog(store, study.id).read():
        if event["kind"] == "proposed":
            proposed[event["trial"]] = event["body"]
        elif event["kind"] == "finished":
            ended.add(event["trial"])
    repeats = Counter(body["point"] for body in proposed.values())
    runs = {trial: tuple(map(StageRun.from_json, body["runs"])) for trial, body in proposed.items()}
    return _Past(
        points=frozenset(point for point, count in repeats.items() if count == study.repeats),
        trials=len(ended),
        runs=tuple(run for trial in runs for run in runs[trial]),
        ended=frozenset(run.identity for trial in ended for run in runs.get(trial, ())),
    )


def _most_runs(study: Study, stage: str, *, points: int) -> int:
    """Return how many distinct runs of `stage` that many points can have."""
    seeds = study.repeats if any(STAGES[name].seeded for name in ancestors([stage])) else 1
    relevant = [domain for field, domain in study.space.domains.items() if varying_stages([field], [stage])]
    if any(domain.size is None for domain in relevant):
        return seeds * points
    sizes = [(0 if domain.size is None else domain.size) + bool(domain.when) for domain in relevant]
    return seeds * min(points, prod(sizes))  # + 1 above: a condition that fails leaves the field as in base


def stored_runs(store: Store, stage: str) -> frozenset[str]:
    """Return the identities of the finished runs of `stage`."""
    keys = store.list(f"{layout.stages()}{stage}-")
    return frozenset(key.split("/")[1] for key in keys if key.endswith("/manifest.json"))


def forecast(store: Store, stage: str, stored: Iterable[str]) -> Forecast:
    """Return what a run of `stage` is expected to take, by those that are `stored`."""
    runs = RunStore(store, cache=Path())  # only manifests are read, nothing is cached
    found = [runs.find(identity) for identity in islice(sorted(stored), _SAMPLE)]
    manifests = [manifest for manifest in found if manifest is not None]
    if not manifests:
        return Forecast(*FIRST_GUESSES[stage], samples=0)
    sizes = [sum(file.size for file in manifest.files.values()) for manifest in manifests]
    seconds = median(manifest.seconds for manifest in manifests)
    return Forecast(seconds, int(median(sizes)), samples=len(manifests))
