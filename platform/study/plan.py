"""What a study will do, before it does it: distinct stage runs, what the store already holds, time and bytes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from statistics import median

from platform.events import Finished, Proposed, TrialEvent
from platform.study.study import Study
from platform.study.swept_stages import varying_stages
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.runs import RunStore
from trainables.graph import STAGES, StageRun, ancestors

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
    needed: int
    """Uses by trials: the number of runs if every trial were on its own."""
    shared: int
    """Distinct runs that are done once, before the trials that need them."""
    private: int
    """Distinct runs that trials do themselves; an upper bound unless `exact`."""
    exact: bool
    cached: int
    """Runs that need no work, among those known beforehand: see `Plan.cached`."""
    forecast: Forecast

    @property
    def runs(self) -> int:
        """Distinct runs; an upper bound unless `exact`."""
        return self.shared + self.private

    @property
    def to_do(self) -> int:
        """Runs that are left to do."""
        return self.runs - self.cached


@dataclass(frozen=True)
class Plan:
    """What a study will do. Where a number of runs is an upper bound, forecasts are, too."""

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
    def exact(self) -> bool:
        """Whether every number of runs is known, none an upper bound."""
        return all(stage.exact for stage in self.stages)

    @property
    def to_do(self) -> int:
        """Stage runs that are left to do."""
        return sum(stage.to_do for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Forecast of compute time, summed over the runs that are left to do."""
        return sum(stage.to_do * stage.forecast.seconds for stage in self.stages)

    @property
    def bytes(self) -> int:
        """Forecast of what the store grows by."""
        return sum(stage.to_do * stage.forecast.bytes for stage in self.stages)

    @property
    def seconds_shared(self) -> float:
        """Forecast of the whole study's compute time, from nothing."""
        return sum(stage.runs * stage.forecast.seconds for stage in self.stages)

    @property
    def seconds_alone(self) -> float:
        """Forecast of its compute time if every trial were on its own."""
        return sum(stage.needed * stage.forecast.seconds for stage in self.stages)

    @property
    def seconds_saved(self) -> float:
        """Seconds of compute that sharing saves; a lower bound where numbers of runs are upper ones."""
        return self.seconds_alone - self.seconds_shared


def make_plan(study: Study, store: Store) -> Plan:
    """Plan `study` against what `store` holds. Writes nothing.

    Raises:
        storage.errors.UnavailableError: The store cannot be read.
    """
    shared, past = study.shared_runs(), _past(study, store)
    known = _known_runs(study, shared, past)
    stored = {stage: stored_runs(store, stage) for stage in ancestors(study.stages)}
    done = past.ended - known.shared | known.shared - known.wanted
    cached = frozenset(name for name, run in known.runs.items() if name in stored[run.stage] or name in done)
    stages = tuple(_stage_plan(study, stage, known, cached, forecast(store, stage, stored[stage])) for stage in stored)
    return Plan(shared, stages, study.trial_count, len(past.trials), cached)


@dataclass(frozen=True)
class _Past:
    """What an earlier call of the same study left on record."""

    points: frozenset[int]
    """Those of which all repeats were proposed."""
    trials: frozenset[str]
    """Trials that have ended, one way or another."""
    runs: tuple[StageRun, ...]
    ended: frozenset[str]
    """Identities of the runs of trials that have ended; the runs of stopped ones are not in the store."""
    wanted: frozenset[str]
    """Identities of the runs of trials that were proposed and have not ended."""


def _past(study: Study, store: Store) -> _Past:
    proposed: dict[str, Proposed] = {}
    ended = set()
    for event in map(TrialEvent.from_json, EventLog(store, study.id).read()):
        if isinstance(event, Proposed):
            proposed[event.trial] = event
        elif isinstance(event, Finished):
            ended.add(event.trial)
    repeats = Counter(proposal.point for proposal in proposed.values())
    runs = {trial: tuple(map(StageRun.from_json, proposal.runs)) for trial, proposal in proposed.items()}
    return _Past(
        points=frozenset(point for point, count in repeats.items() if count == study.repeats),
        trials=frozenset(ended),
        runs=tuple(run for trial in runs for run in runs[trial]),
        ended=frozenset(run.identity for trial in runs if trial in ended for run in runs[trial]),
        wanted=frozenset(run.identity for trial in runs if trial not in ended for run in runs[trial]),
    )


@dataclass(frozen=True)
class _KnownRuns:
    """The stage runs that are known before the study goes on."""

    runs: Mapping[str, StageRun]
    """By identity."""
    shared: frozenset[str]
    wanted: frozenset[str]
    """Identities that a trial needs which has not ended."""
    unknown_points: int
    """Points whose values are not known yet."""


def _known_runs(study: Study, shared: Sequence[StageRun], past: _Past) -> _KnownRuns:
    runs = {run.identity: run for run in (*shared, *past.runs)}
    shared_identities = frozenset(run.identity for run in shared)
    points, wanted = set(past.points), set(past.wanted)
    for point, spec in study.known_trials(skip=past.points):
        points.add(point)
        runs.update((run.identity, run) for run in spec.runs)
        if spec.trial not in past.trials:
            wanted.update(run.identity for run in spec.runs)
    unknown_points = max(0, study.trials - len(points))
    if unknown_points > 0:
        wanted |= shared_identities
    return _KnownRuns(runs, shared_identities, frozenset(wanted), unknown_points)


def _stage_plan(study: Study, stage: str, known: _KnownRuns, cached: frozenset[str], each: Forecast) -> StagePlan:
    identities = {identity for identity, run in known.runs.items() if run.stage == stage}
    private = len(identities - known.shared)
    more = _most_runs(study, stage, points=known.unknown_points) if stage in study.own_stages() else 0
    if more > 0:
        more = min(more, max(0, _most_runs(study, stage, points=study.trials) - private))
    return StagePlan(
        stage=stage,
        needed=study.trial_count,
        shared=len(identities & known.shared),
        private=private + more,
        exact=more == 0,
        cached=len(identities & cached),
        forecast=each,
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
