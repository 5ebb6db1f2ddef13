"""Paired tables: the values of one metric in two conditions, for the same subjects, seeds and clips.

Every comparison starts from such a table. A cell without a value (the trial failed, the metric is undefined for that
clip) is NaN and has a reason. Differences are always condition minus baseline, in the metric's unit; the metric's goal
decides whether a positive difference is better or worse.

Listwise rule (complete cases): only values that both conditions have are compared. In this order: a subject is left out
if it has no seed under which both trials have values; then a seed, if no remaining subject has it; then a clip, if any
remaining trial has no value for it. `platform.statistics.missing` lists what is left out and bounds its effect.

A seed that failed for some subjects is kept: the missing trial has the values that an additive model of subjects and
seeds gives it (least squares). So the mean under a seed is that of the subjects that have it, free of the differences
between subjects.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clusters import each_its_own
from trainables.metrics.metric import Metric

Values: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Side: TypeAlias = Literal["baseline", "condition"]
TrialValues: TypeAlias = Mapping[int, float | str] | str
"""Clip to its value or to the reason why it has none; for a trial that failed, the reason alone."""
NOT_RECORDED = "no reason recorded"
_ROUNDS = 50
"""Steps towards the least-squares values of missing trials; each halves the error or better if few are missing."""
ROUNDING = 1e-6
"""Tolerance for values outside the metric's range, relative to the range's larger end: float32 arithmetic."""


class TableIndex(NamedTuple):
    """The position of a value in a paired table."""

    side: Side
    subject: int
    seed: int
    clip: int


@dataclass(frozen=True, eq=False)
class PairedTable:
    """One comparison in one metric. All arrays are [subjects, seeds, clips]."""

    name: str
    metric: Metric
    baseline: Values
    condition: Values
    subjects: tuple[str, ...]
    seeds: tuple[int, ...]
    """The blocks: both conditions are trained under each of them."""
    clips: tuple[int, ...]
    reasons: Mapping[TableIndex, str] = field(default_factory=dict)
    """Why a cell is NaN; a NaN cell that is not listed has no recorded reason."""
    clusters: tuple[str, ...] = ()
    """The cluster of each clip, such as `film seg1`. Empty: every clip is on its own."""

    def __post_init__(self) -> None:
        shape = (len(self.subjects), len(self.seeds), len(self.clips))
        if self.clusters and len(self.clusters) != len(self.clips):
            raise ValueError(f"{self.name}: {len(self.clusters)} clusters are named, but there are {shape[2]} clips")
        for side, values in (("baseline", self.baseline), ("condition", self.condition)):
            label = f"{self.name}, {self.metric.name}, {side}"
            if values.shape != shape:
                raise ValueError(f"{label}: shape {values.shape}, but {shape} subjects, seeds and clips are named")
            if np.isinf(values).any():
                raise ValueError(f"{label}: has an infinite value; use NaN and a reason if a metric is undefined")
            self._check_range(label, values)

    def _check_range(self, label: str, values: Values) -> None:
        ends = [abs(end) for end in (self.metric.low, self.metric.high) if math.isfinite(end)]
        slack = ROUNDING * max(ends, default=0.0)
        outside = (values < self.metric.low - slack) | (values > self.metric.high + slack)
        if outside.any():
            value = values[outside][0]
            raise ValueError(
                f"{label}: {value} lies outside the metric's range {self.metric.low} to {self.metric.high}"
            )

    @property
    def sign(self) -> int:
        """1 if a positive difference is better, -1 if it is worse."""
        return 1 if self.metric.goal == "max" else -1


@dataclass(frozen=True, eq=False)
class CompleteCases:
    """What the listwise rule keeps of a table: finite values [subjects, seeds, clips] of both conditions."""

    baseline: Values
    condition: Values
    subjects: tuple[str, ...]
    seeds: tuple[int, ...]
    clips: tuple[int, ...]
    filled: Mask
    """[subjects, seeds]: trials that are missing, with values that follow from the others."""
    clusters: tuple[str, ...]
    """The cluster of each clip."""

    @property
    def units(self) -> int:
        """The number of clusters, which is that of clips if every clip is on its own."""
        return len(set(self.clusters))

    @property
    def differences(self) -> Values:
        """Condition minus baseline, [seeds, clips]: the mean over subjects, which share seeds and clips."""
        return np.asarray((self.condition - self.baseline).mean(axis=0))

    @property
    def empty(self) -> bool:
        """Whether there are no values to compare."""
        return self.baseline.size == 0


def pair(
    name: str,
    metric: Metric,
    *,
    baseline: Mapping[tuple[str, int], TrialValues],
    condition: Mapping[tuple[str, int], TrialValues],
) -> PairedTable:
    """Return the paired table of the trials of two conditions.

    Args:
        name: Name of the comparison.
        metric: The metric of all values.
        baseline: (subject, seed) to the trial's values. Where the conditions ran under different seeds, number the
            blocks and give those numbers instead.
        condition: The same for the other condition. A trial that only one condition has is missing in the other.
    """
    keys = {*baseline, *condition}
    subjects = tuple(sorted({subject for subject, _ in keys}))
    seeds = tuple(sorted({seed for _, seed in keys}))
    trials = (*baseline.values(), *condition.values())
    clips = tuple(sorted({clip for trial in trials if not isinstance(trial, str) for clip in trial}))
    shape = (len(subjects), len(seeds), len(clips))
    tables: dict[Side, Values] = {"baseline": np.full(shape, np.nan), "condition": np.full(shape, np.nan)}
    trials_of: dict[Side, Mapping[tuple[str, int], TrialValues]] = {"baseline": baseline, "condition": condition}
    reasons: dict[TableIndex, str] = {}
    for side, (u, subject), (s, seed) in product(tables, enumerate(subjects), enumerate(seeds)):
        trial = trials_of[side].get((subject, seed), "no such trial")
        for c, clip in enumerate(clips):
            value = trial if isinstance(trial, str) else trial.get(clip, "no such clip in the trial")
            if isinstance(value, str):
                reasons[TableIndex(side, u, s, c)] = value
            else:
                tables[side][u, s, c] = value
    return PairedTable(name, metric, tables["baseline"], tables["condition"], subjects, seeds, clips, reasons)


def complete_cases(paired: PairedTable) -> CompleteCases:
    """Apply the listwise rule of this module."""
    defined = np.isfinite(paired.baseline) & np.isfinite(paired.condition)
    clusters = paired.clusters if paired.clusters else each_its_own(paired.clips)
    if defined.size > 0 and defined.all():
        axes = paired.subjects, paired.seeds, paired.clips
        return CompleteCases(paired.baseline, paired.condition, *axes, np.zeros(defined.shape[:2], bool), clusters)
    trials: Mask = np.asarray(defined.any(axis=2))
    subjects: Mask = np.asarray(trials.any(axis=1))
    seeds: Mask = np.asarray(trials[subjects].any(axis=0)) & bool(subjects.any())
    missing: Mask = np.asarray(~trials[np.ix_(subjects, seeds)])
    with_value = defined[np.ix_(subjects, seeds)] | missing[..., None]
    clips: Mask = np.asarray(with_value.all(axis=(0, 1))) & bool(seeds.any())
    cells = np.ix_(subjects, seeds, clips)
    return CompleteCases(
        _filled(paired.baseline[cells], missing),
        _filled(paired.condition[cells], missing),
        tuple(np.array(paired.subjects, dtype=object)[subjects]),
        tuple(int(seed) for seed in np.array(paired.seeds)[seeds]),
        tuple(int(clip) for clip in np.array(paired.clips)[clips]),
        missing,
        tuple(np.array(clusters, dtype=object)[clips]),
    )


def _filled(values: Values, missing: Mask) -> Values:
    """Return `values` [subjects, seeds, clips] with those of `missing` trials from the other subjects and seeds."""
    if not missing.any():
        return values
    gap = missing[..., None]
    known = np.where(gap, np.nan, values)
    filled = np.where(gap, np.nanmean(known, axis=1, keepdims=True), values)
    for _ in range(_ROUNDS):
        of_subject, of_seed = filled.mean(axis=1, keepdims=True), filled.mean(axis=0, keepdims=True)
        filled = np.where(gap, of_subject + of_seed - filled.mean(axis=(0, 1), keepdims=True), values)
    return np.asarray(filled)
