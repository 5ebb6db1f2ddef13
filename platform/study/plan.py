"""The plan of a study: its distinct stage runs, those that are stored already, and forecasts of time and bytes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from statistics import median

from platform.events import Finished, Proposed, Started, TrialEvent
from platform.study.study import Study
from platform.study.swept_stages import varying_stages
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.runs import RunStore
from trainables.graph import StageRun, ancestors
from trainables.stage_table import STAGES

_SAMPLE = 25
"""Largest number of stored runs of a stage that a forecast uses."""


@dataclass(frozen=True)
class Forecast:
    """The expected seconds and bytes of one run of a stage."""

    seconds: float
    bytes: int
    samples: int
    """The number of stored runs of this stage, of any config, of which this is the median; 0 for a first guess."""


@dataclass(frozen=True)
class StagePlan:
    """The runs of one stage in a study."""

    stage: str
    needed: int
    """The number of runs if trials did not share runs."""
    shared: int
    """Distinct runs that are executed once, before the trials that need them."""
    private: int
    """Distinct runs that trials execute themselves; an upper bound unless `exact`."""
    exact: bool
    cached: int
    """Predicted runs that need no work: see `Plan.cached`."""
    forecast: Forecast

    @property
    def runs(self) -> int:
        """Distinct runs; an upper bound unless `exact`."""
        return self.shared + self.private

    @property
    def to_do(self) -> int:
        """The number of remaining runs."""
        return self.runs - self.cached


@dataclass(frozen=True)
class Plan:
    """The plan of a study. If a number of runs is an upper bound, its forecasts are upper bounds, too."""

    shared: tuple[StageRun, ...]
    """Runs that are executed once before the trials that need them, inputs first."""
    stages: tuple[StagePlan, ...]
    """Every stage that is needed, inputs first."""
    trials: int
    """Points times repeats."""
    ended: int
    """The number of trials that earlier calls have finished."""
    cached: frozenset[str]
    """Predicted identities that need no work: the store has them, or their trials have ended."""

    @property
    def exact(self) -> bool:
        """Whether every number of runs is exact, not an upper bound."""
        return all(stage.exact for stage in self.stages)

    @property
    def to_do(self) -> int:
        """The number of remaining stage runs."""
        return sum(stage.to_do for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Forecast of compute time, summed over the remaining runs."""
        return sum(stage.to_do * stage.forecast.seconds for stage in self.stages)

    @property
    def bytes(self) -> int:
        """Forecast of the bytes that are added to the store."""
        return sum(stage.to_do * stage.forecast.bytes for stage in self.stages)

    @property
    def seconds_shared(self) -> float:
        """Forecast of the compute time of the whole study with an empty store."""
        return sum(stage.runs * stage.forecast.seconds for stage in self.stages)

    @property
    def seconds_alone(self) -> float:
        """Forecast of the compute time of the whole study if trials did not share runs."""
        return sum(stage.needed * stage.forecast.seconds for stage in self.stages)

    @property
    def seconds_saved(self) -> float:
        """Compute time that sharing saves, in seconds; a lower bound if numbers of runs are upper bounds."""
        return self.seconds_alone - self.seconds_shared


def make_plan(study: Study, store: Store, *, retry_failed: bool = False) -> Plan:
    """Return the plan of `study`, given the runs in `store`. Writes nothing.

    With `retry_failed`, trials that failed are planned again.

    Raises:
        storage.errors.UnavailableError: The store cannot be read.
    """
    shared, past = study.shared_runs(), _past(study, store, retry_failed=retry_failed)
    predicted = _predicted_runs(study, shared, past)
    stored = {stage: stored_runs(store, stage) for stage in study.possible_stages}
    done = past.ended - predicted.shared | predicted.shared - predicted.needed
    cached = frozenset(
        identity for identity, run in predicted.runs.items() if identity in stored[run.stage] or identity in done
    )
    stages = tuple(
        _stage_plan(study, predicted, cached, stage=stage, per_run=forecast(store, stage, stored[stage]))
        for stage in stored
    )
    return Plan(shared, stages, study.trial_count, len(past.trials), cached)


@dataclass(frozen=True)
class _Past:
    """The records of earlier calls of the same study."""

    points: frozenset[int]
    """Points of which all repeats were proposed."""
    trials: frozenset[str]
    """Trials that have ended, with any outcome."""
    stages: Mapping[str, frozenset[str]]
    """Each proposed trial to the stages that it needs."""
    runs: tuple[StageRun, ...]
    ended: frozenset[str]
    """Identities of the runs of trials that have ended; the runs of pruned trials are not in the store."""
    needed: frozenset[str]
    """Identities of the runs of trials that were proposed and have not ended."""


def _past(study: Study, store: Store, *, retry_failed: bool) -> _Past:
    proposed: dict[str, Proposed] = {}
    ended = set()
    for event in map(TrialEvent.from_json, EventLog(store, study.id).read()):
        if isinstance(event, Proposed):
            proposed[event.trial] = event
        elif isinstance(event, Started):
            ended.discard(event.trial)
        elif isinstance(event, Finished) and not (retry_failed and event.outcome == "FAILED"):
            ended.add(event.trial)
    repeats = Counter(proposal.point for proposal in proposed.values())
    runs = {trial: tuple(map(StageRun.from_json, proposal.runs)) for trial, proposal in proposed.items()}
    return _Past(
        points=frozenset(point for point, count in repeats.items() if count == study.repeats),
        trials=frozenset(ended),
        stages={trial: frozenset(run.stage for run in runs[trial]) for trial in runs},
        runs=tuple(run for trial in runs for run in runs[trial]),
        ended=frozenset(run.identity for trial in runs if trial in ended for run in runs[trial]),
        needed=frozenset(run.identity for trial in runs if trial not in ended for run in runs[trial]),
    )


@dataclass(frozen=True)
class _PredictedRuns:
    """The stage runs that can be predicted before the study continues."""

    runs: Mapping[str, StageRun]
    """By identity."""
    shared: frozenset[str]
    needed: frozenset[str]
    """Identities that an unfinished trial needs."""
    open_points: int
    """Number of points whose values the sampler has not proposed yet."""
    stages: Mapping[str, frozenset[str]]
    """Each known trial to the stages that it needs."""


def _predicted_runs(study: Study, shared: Sequence[StageRun], past: _Past) -> _PredictedRuns:
    runs = {run.identity: run for run in (*shared, *past.runs)}
    shared_identities = frozenset(run.identity for run in shared)
    points, needed, stages = set(past.points), set(past.needed), dict(past.stages)
    for point, spec in study.known_trials(skip=past.points):
        points.add(point)
        runs.update((run.identity, run) for run in spec.runs)
        stages[spec.trial] = frozenset(run.stage for run in spec.runs)
        if spec.trial not in past.trials:
            needed.update(run.identity for run in spec.runs)
    open_points = max(0, study.trials - len(points))
    if open_points > 0:
        needed |= shared_identities
    return _PredictedRuns(runs, shared_identities, frozenset(needed), open_points, stages)


def _stage_plan(
    study: Study, predicted: _PredictedRuns, cached: frozenset[str], *, stage: str, per_run: Forecast
) -> StagePlan:
    identities = {identity for identity, run in predicted.runs.items() if run.stage == stage}
    private = len(identities - predicted.shared)
    more = _most_runs(study, stage, points=predicted.open_points) if stage in study.own_stages() else 0
    if more > 0:
        more = min(more, max(0, _most_runs(study, stage, points=study.trials) - private))
    return StagePlan(
        stage=stage,
        needed=study.trial_count - sum(stage not in needing for needing in predicted.stages.values()),
        shared=len(identities & predicted.shared),
        private=private + more,
        exact=more == 0,
        cached=len(identities & cached),
        forecast=per_run,
    )


def _most_runs(study: Study, stage: str, *, points: int) -> int:
    """Return the largest possible number of distinct runs of `stage` for this number of `points`."""
    systems, possible = study.systems, study.possible_stages
    needed = [name for name in ancestors([stage], systems=systems) if name in possible]
    seeds = study.repeats if any(STAGES[name].seeded for name in needed) else 1
    relevant = [
        domain
        for field, domain in study.space.domains.items()
        if varying_stages([field], [stage], systems=systems, possible=possible)
    ]
    if any(domain.size is None for domain in relevant):
        return seeds * points
    sizes = [(0 if domain.size is None else domain.size) + bool(domain.when) for domain in relevant]
    return seeds * min(
        points, prod(sizes)
    )  # + 1 above: if its condition does not hold, the field has its value in `base`


def stored_runs(store: Store, stage: str) -> frozenset[str]:
    """Return the identities of the finished runs of `stage`."""
    keys = store.list(f"{layout.stages()}{stage}-")
    return frozenset(key.split("/")[1] for key in keys if key.endswith("/manifest.json"))


def forecast(store: Store, stage: str, stored: Iterable[str]) -> Forecast:
    """Return the forecast of a run of `stage`, from the `stored` runs."""
    runs = RunStore(store, cache=Path())  # only manifests are read, so nothing is cached
    sample = [runs.find(identity) for identity in islice(sorted(stored), _SAMPLE)]
    manifests = [manifest for manifest in sample if manifest is not None]
    if not manifests:
        return Forecast(*STAGES[stage].guess, samples=0)
    sizes = [sum(file.size for file in manifest.files.values()) for manifest in manifests]
    seconds = median(manifest.seconds for manifest in manifests)
    return Forecast(seconds, int(median(sizes)), samples=len(manifests))
