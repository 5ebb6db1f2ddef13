"""Collects the results of an ablation from the store alone: registered design, all trials, per-clip values as arrays.

    result = collect_ablation(store, study, cache=folder)   # reads records; no Ray
    result.design.family                               # the declared comparisons
    result.trials["wo_semantic", 0, 3]                 # condition, subject, seed: outcome, metrics, seconds
    result.scalars("semantic.retrieval_image_top10")   # {condition: float64 [subjects, seeds]}
    result.clips("evaluate.test_ssim").values          # {condition: float64 [subjects, seeds, clips]}
    result.clips("evaluate.test_ssim", "ceiling")      # the same for a control

A value is NaN if its trial is missing or failed, or if the metric is undefined for the clip.

An ablation in several data sets is collected as one such result per data set (`collect_data_sets`), so that no trial is
ever paired with one of another data set.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from platform.analysis.per_clip import Floats, PerClip, read_per_clip
from platform.events import Finished, Outcome, Proposed, TrialEvent
from platform.record.trial_record import reduce_events
from platform.study.design import Design, has_clips, split_of, trial_name
from platform.study.registration import Amendment, Registration, registered, seeds_of
from storage.base import Store
from storage.errors import StoreError
from storage.events import EventLog
from storage.runs import RunStore
from trainables.judging.controls import SYSTEM
from trainables.metrics.clip_metrics import EVALUATE

Key: TypeAlias = tuple[str, int, int]
"""Condition, subject, seed. The seed is that of the block, without the seed offset of the condition."""

PER_CLIP = "per_clip.parquet"
_READERS = 4


@dataclass(frozen=True)
class AblationTrial:
    """The current state of a trial."""

    name: str
    condition: str
    subject: int
    seed: int
    """The seed of the block, equal in all conditions."""
    outcome: Outcome | None = None
    """None until the trial is finished."""
    error: str | None = None
    """Why the trial failed: a traceback, or the metric without a finite value."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`stage.metric` to value, of all stages."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """Stage to the identity of its run."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Stage to the seconds of its stage run, executed by this or another trial."""
    executed: frozenset[str] = frozenset()
    """Identities of the stage runs that this trial executed; the others were shared or stored."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved config, as JSON."""
    proposed: float = 0.0
    """Seconds since 1970, as `finished`; 0 if there is no such event."""
    finished: float = 0.0


@dataclass(frozen=True)
class ClipValues:
    """One metric of one system, clip by clip."""

    metric: str
    system: str
    clips: tuple[int, ...]
    """Numbers of the clips in the data set, in the order of the last axis of every array."""
    names: tuple[str, ...]
    """Names of the clips' sources, in the same order; of the first trial if each block has clips of its own."""
    values: Mapping[str, Floats]
    """Condition to [subjects, seeds, clips]; NaN where missing or undefined."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason for undefined values to their number."""
    clusters: tuple[str, ...] = ()
    """Cluster of each clip; empty if an evaluation of an earlier version recorded none."""
    own_clips: bool = False
    """Whether each block has clips of its own: then a number stands for another clip in every block."""


@dataclass(frozen=True)
class AblationResult:
    """The results of one ablation."""

    study: str
    registration: Registration
    """The registered design and its hash."""
    amendments: tuple[Amendment, ...]
    """Amendments after registration, in order."""
    seeds: tuple[int, ...]
    """The seeds of the planned trials, amendments included: the second axis of every array."""
    trials: Mapping[Key, AblationTrial]
    """All planned trials; the outcome of a missing trial is None."""
    runs: RunStore
    dataset: str = ""
    """Of an ablation in several data sets, the one that this is the result in."""

    @cached_property
    def design(self) -> Design:
        """The design that was registered before the first trial; of several data sets, the part in this one."""
        return self.registration.design.parts[self.dataset]

    @property
    def conditions(self) -> tuple[str, ...]:
        """All conditions, the baseline first."""
        return self.design.names

    @property
    def subjects(self) -> tuple[int, ...]:
        """The subjects: the first axis of every array."""
        return self.design.subjects

    @property
    def complete(self) -> bool:
        """Whether all planned trials have ended, with any outcome."""
        return all(trial.outcome is not None for trial in self.trials.values())

    @property
    def unusable(self) -> tuple[AblationTrial, ...]:
        """The trials that are missing or failed."""
        return tuple(trial for trial in self.trials.values() if trial.outcome != "COMPLETED")

    @property
    def registered_part(self) -> "AblationResult":
        """The same result with the registered seeds only: what the registered tests are about."""
        seeds = self.seeds[: self.design.seeds]
        if seeds == self.seeds:
            return self
        trials = {key: trial for key, trial in self.trials.items() if key[2] in seeds}
        return replace(self, seeds=seeds, trials=trials)

    def scalars(self, metric: str) -> dict[str, Floats]:
        """Return the values of `metric` per trial: condition to [subjects, seeds]; NaN if missing."""
        return self._arranged(lambda trial: trial.metrics.get(metric))

    def seconds(self) -> dict[str, Floats]:
        """Return the compute time of each trial without sharing: condition to [subjects, seeds], in seconds."""
        return self._arranged(lambda trial: sum(trial.seconds.values()) if trial.seconds else None)

    def clips(self, metric: str, system: str = SYSTEM) -> ClipValues:
        """Return `metric` (`evaluate.test_ssim`, or `evaluate.ssim` for validation clips) of `system` per clip.

        Raises:
            ValueError: The metric has no values per clip.
        """
        if not has_clips(metric):
            raise ValueError(f"{metric} has no values per clip; use `scalars` for its values per trial")
        split, name = split_of(metric)
        rows_of = {key: table.rows(split, system, name) for key, table in self._tables.items()}
        tables = {key: rows for key, rows in rows_of.items() if rows is not None}
        values = {condition: self._empty(0) for condition in self.conditions}
        if not tables:
            return ClipValues(metric, system, (), (), values)
        clips = np.concatenate([rows.clips for rows in tables.values()])
        order, first = np.unique(clips, return_index=True)
        all_names, all_clusters = (
            np.concatenate([getattr(rows, column) for rows in tables.values()]) for column in ("names", "clusters")
        )
        names, clusters = all_names[first], all_clusters[first]
        own_clips = bool((all_names != names[np.searchsorted(order, clips)]).any())
        values = {condition: self._empty(len(order)) for condition in self.conditions}
        reasons: Counter[str] = Counter()
        for (condition, subject, seed), rows in tables.items():
            row = values[condition][self.subjects.index(subject), self.seeds.index(seed)]
            row[np.searchsorted(order, rows.clips)] = rows.values
            reasons.update(rows.reasons[np.isnan(rows.values)].tolist())
        recorded = tuple(clusters.tolist()) if all(all_clusters) else ()
        described = (tuple(order.tolist()), tuple(names.tolist()), values, dict(reasons))
        return ClipValues(metric, system, *described, recorded, own_clips)

    @cached_property
    def own_clips(self) -> bool:
        """Whether each block has clips of its own, since the data set is varied as a whole (`vary` in a design)."""
        return any(self.clips(metric).own_clips for metric in self.clip_metrics()[:1])

    def systems(self) -> tuple[str, ...]:
        """Return the evaluated systems, `system` first, then the controls."""
        systems = {system for table in self._tables.values() for _, system, _ in table.groups}
        return tuple(sorted(systems, key=lambda name: (name != SYSTEM, name)))

    def clip_metrics(self) -> tuple[str, ...]:
        """Return all test metrics with values per clip, declared or not, as `evaluate.test_...`."""
        metrics = {metric for table in self._tables.values() for split, _, metric in table.groups if split == "test"}
        return tuple(f"{EVALUATE}.test_{metric}" for metric in sorted(metrics))

    @cached_property
    def _tables(self) -> dict[Key, PerClip]:
        """Per-clip values of all trials with a stored evaluation; each file is read once."""
        evaluations = {
            key: trial.identities[EVALUATE] for key, trial in self.trials.items() if EVALUATE in trial.identities
        }
        distinct = tuple(dict.fromkeys(evaluations.values()))
        with ThreadPoolExecutor(_READERS, thread_name_prefix="per-clip") as pool:
            tables = dict(zip(distinct, pool.map(self._read, distinct), strict=True))
        return {key: table for key, identity in evaluations.items() if (table := tables[identity]) is not None}

    def _read(self, identity: str) -> PerClip | None:
        try:
            return read_per_clip(self.runs.open(identity).path(PER_CLIP))
        except StoreError:
            return None  # the trial failed or its artifacts were deleted: its values are missing

    def _arranged(self, value: Callable[[AblationTrial], float | None]) -> dict[str, Floats]:
        arrays = {condition: self._empty() for condition in self.conditions}
        for (condition, subject, seed), trial in self.trials.items():
            number = value(trial)
            if number is not None:
                arrays[condition][self.subjects.index(subject), self.seeds.index(seed)] = number
        return arrays

    def _empty(self, *sizes: int) -> Floats:
        return np.full((len(self.subjects), len(self.seeds), *sizes), np.nan)


def collect_ablation(store: Store, study: str, *, cache: Path) -> AblationResult:
    """Read the results of ablation `study`, which has one data set.

    Args:
        store: The store with its records and stage runs.
        study: The id of the study: the stem of the file, with `.2` and so on for forks.
        cache: Folder for downloads from a remote store.

    Example:
        >>> result = collect_ablation(store, "small", cache=folder)  # store: with the ablation "small"; folder: Path
        >>> result.design.names, result.seeds
        (('baseline', 'half'), (0, 1, 2, 3, 4, 5))

    Raises:
        storage.errors.NotFoundError: There is no such study.
        ValueError: The study is a sweep, not an ablation, or has several data sets.
    """
    results = collect_data_sets(store, study, cache=cache)
    if len(results) > 1:
        names = ", ".join(result.dataset for result in results)
        raise ValueError(f"{study} has several data sets ({names}); collect_data_sets reads them")
    return results[0]


def collect_data_sets(store: Store, study: str, *, cache: Path) -> tuple[AblationResult, ...]:
    """Read the results of ablation `study`, one for each of its data sets, in the order of its file.

    See `collect_ablation`.
    """
    registration, amendments = registered(store, study)
    design = registration.design
    seeds = tuple(range(design.seed, design.seed + seeds_of(design, amendments)))
    recorded = _trials(map(TrialEvent.from_json, EventLog(store, study).ends()))
    runs = RunStore(store, cache=cache)
    results = []
    for dataset, part in design.parts.items():
        keys = [(name, subject, seed) for name in part.names for subject in part.subjects for seed in seeds]
        trials = {key: _recorded_or_planned(recorded, key, dataset) for key in keys}
        results.append(AblationResult(study, registration, amendments, seeds, trials, runs, dataset))
    return tuple(results)


def _recorded_or_planned(recorded: Mapping[str, AblationTrial], key: Key, dataset: str) -> AblationTrial:
    name = trial_name(*key, dataset)
    return recorded.get(name, AblationTrial(name, *key))


def _trials(events: Iterable[TrialEvent]) -> dict[str, AblationTrial]:
    """Return the proposed trials by name. `events` are in order of their trials.

    Of each record only the trial is kept, and neighbours with equal configs share one: with all records of a large
    study in memory, Python's search for garbage takes longer than reading them.
    """
    trials: dict[str, AblationTrial] = {}
    config: Mapping[str, Any] = {}
    for name, of_trial in groupby(events, key=attrgetter("trial")):
        record = reduce_events(of_trial)[name]
        if record.proposed is not None:
            config = config if record.proposed.config == config else record.proposed.config
            trials[name] = _trial(record.proposed, record.finished, config)
    return trials


def _trial(proposed: Proposed, end: Finished | None, config: Mapping[str, Any]) -> AblationTrial:
    return AblationTrial(
        proposed.trial,
        proposed.values["condition"],
        proposed.values["subject"],
        int(proposed.labels["seed"]),
        identities=proposed.identities,
        config=config,
        proposed=proposed.time,
        **({} if end is None else _ended(end)),
    )


def _ended(end: Finished) -> dict[str, Any]:
    return {
        "outcome": end.outcome,
        "error": end.error,
        "metrics": end.metrics,
        "seconds": {stage: run["seconds"] for stage, run in end.runs.items()},
        "executed": frozenset(run["identity"] for run in end.runs.values() if not run["reused"]),
        "finished": end.time,
    }
