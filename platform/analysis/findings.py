"""Judges an ablation: every declared comparison as one family, the rest as exploratory, and the means of all.

Declared comparisons are `design.family`, adjusted together. The other conditions in primary metrics are compared by
themselves and earn no stars. All other metrics that were measured are described by means and intervals, without tests.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from platform.analysis.collect import AblationResult, ClipValues
from platform.analysis.measures import Measure, find_measure, measure
from platform.analysis.per_clip import Floats
from platform.record.results import Result, controls, error_line
from platform.statistics.compare import Comparison, TestPlan, compare, compare_family
from platform.statistics.difference import ClaimUnit, over_both, over_units
from platform.statistics.paired import Arm, Complete, Paired, TableIndex, complete
from platform.study.design import BASELINE, has_clips
from trainables.judging.controls import SYSTEM

Pair = tuple[str, str]
"""Condition (or control) and metric."""


@dataclass(frozen=True)
class Estimated:
    """A mean with its interval; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Findings:
    """All that a report says in numbers about conditions."""

    result: AblationResult
    measures: tuple[Measure, ...]
    """The primary metrics."""
    others: tuple[Measure, ...]
    """What else was measured clip by clip."""
    declared: tuple[Comparison, ...]
    """The frozen family, in its order; `name` is the condition."""
    exploratory: tuple[Comparison, ...]
    as_registered: tuple[Comparison, ...]
    """The family under the registered seeds alone; empty unless seeds were added later."""
    means: Mapping[Pair, Estimated]
    """Of every condition, and of every control under the baseline."""
    differences: Mapping[Pair, Estimated]
    """Of every condition from the baseline, in every metric."""
    subjects: Mapping[Pair, tuple[Estimated, ...]]
    """The differences of every subject by itself, in primary metrics; empty where there is only one."""
    controls: tuple[str, ...]
    tables: "Mapping[str, ConditionValues]"
    """Metric to all of its values."""

    @cached_property
    def comparisons(self) -> Mapping[Pair, Comparison]:
        """All that were tested."""
        return {(one.name, one.metric): one for one in (*self.declared, *self.exploratory)}

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """All but the baseline, in the order of tables and figures."""
        return self.result.design.order

    def is_declared(self, pair: Pair) -> bool:
        """Tell whether a comparison is of the frozen family."""
        return self.result.design.is_declared(*pair)

    @property
    def measured(self) -> tuple[Measure, ...]:
        """All metrics, the primary ones first."""
        return (*self.measures, *self.others)


@dataclass(frozen=True)
class ConditionValues:
    """One metric: every condition's values [subjects, seeds, clips], and its controls' under the baseline."""

    measure: Measure
    unit: ClaimUnit
    clips: tuple[int, ...]
    arms: Mapping[str, Floats]
    undefined: str
    """Why values of finished trials are undefined, as far as that is recorded."""
    controls: Mapping[str, Floats]

    @property
    def undefined_clips(self) -> int:
        """The most clips that one row leaves out of its mean, since some finished trial has no value for them."""
        rows = (*self.arms.values(), *self.controls.values())
        gaps = [np.isnan(row) & np.isfinite(row).any(axis=2, keepdims=True) for row in rows]
        return max((int(gap.any(axis=(0, 1)).sum()) for gap in gaps), default=0)

    def complete(self, one: Floats, other: Floats) -> Complete:
        """Apply the listwise rule to two arms [subjects, seeds, clips]."""
        subjects, seeds, clips = map(range, one.shape)
        named = (tuple(map(str, subjects)), tuple(seeds), tuple(clips))
        return complete(Paired("", self.measure.metric, one, other, *named))


def find(result: AblationResult) -> Findings:
    """Judge all that `result` holds.

    Raises:
        UserError: The study was registered with a metric that this version does not know.
    """
    design = result.design
    measures = tuple(map(measure, design.primary))
    others = tuple(_others(result))
    tables = {one.name: _values(result, one) for one in (*measures, *others)}
    plans = {name: _plan(result, [values.unit]) for name, values in tables.items()}
    family = [(one.condition, one.metric) for one in design.family]
    plan = _plan(result, [tables[metric].unit for _, metric in family])
    pairs = [paired(result, tables[metric], condition) for condition, metric in family]
    rest = [(c, m.name) for c in design.order for m in measures if (c, m.name) not in family]
    before = [first_seeds(one, design.seeds) for one in pairs] if result.amendments else []
    exploratory = tuple(compare(paired(result, tables[metric], c), plans[metric]) for c, metric in rest)
    declared = compare_family(pairs, plan)
    means, differences = _described(result, tables.values())
    judged = {(one.name, one.metric): one for one in (*declared, *exploratory)}
    for pair, one in judged.items():
        differences[pair] = Estimated(one.difference, one.interval.low, one.interval.high)
    return Findings(
        result=result,
        measures=measures,
        others=others,
        declared=declared,
        exploratory=exploratory,
        as_registered=compare_family(before, plan) if before else (),
        means=means,
        differences=differences,
        subjects={} if len(design.subjects) == 1 else _by_subject(result, [tables[one.name] for one in measures]),
        controls=tuple(dict.fromkeys(control for values in tables.values() for control in values.controls)),
        tables=tables,
    )


def _plan(result: AblationResult, units: Sequence[ClaimUnit]) -> TestPlan:
    design = result.design
    # Numbers of a trial as a whole know no clips: asking for both would refuse every test.
    unit: ClaimUnit = "seeds" if units and all(unit == "seeds" for unit in units) else design.unit
    return TestPlan(alpha=design.alpha, unit=unit, margins=design.margins)


def _others(result: AblationResult) -> Iterable[Measure]:
    published = [metric for table in result.design.published for metric in table.columns]
    for name in dict.fromkeys((*published, *result.clip_metrics())):
        found = find_measure(name) if name not in result.design.primary else None
        if found is not None:
            yield found


def _values(result: AblationResult, one: Measure) -> ConditionValues:
    if not has_clips(one.name):
        arms = {condition: values[..., None] for condition, values in result.scalars(one.name).items()}
        return ConditionValues(
            one, "seeds", (0,), arms, "the trial reports no such number", _scalar_controls(result, one)
        )
    own: ClipValues = result.clips(one.name)
    beside = {system: result.clips(one.name, system) for system in result.systems() if system != SYSTEM}
    kept = {name: clips.values[BASELINE] for name, clips in beside.items() if np.isfinite(clips.values[BASELINE]).any()}
    return ConditionValues(one, result.design.unit, own.clips, own.values, "; ".join(own.reasons), kept)


def _scalar_controls(result: AblationResult, one: Measure) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for (condition, subject, seed), trial in result.trials.items():
        if condition == BASELINE and trial.outcome == "COMPLETED":
            for name, value in controls(Result(trial.name, metrics=trial.metrics), one.metric).items():
                array = found.setdefault(name, np.full((len(result.subjects), len(result.seeds), 1), np.nan))
                array[result.subjects.index(subject), result.seeds.index(seed)] = value
    return found


def paired(result: AblationResult, values: ConditionValues, condition: str) -> Paired:
    """Lay `condition` beside the baseline, with the reason for every gap."""
    reasons: dict[TableIndex, str] = {}
    arms: tuple[tuple[Arm, str], ...] = (("baseline", BASELINE), ("condition", condition))
    for arm, name in arms:
        for u, s, c in np.argwhere(np.isnan(values.arms[name])).tolist():
            reasons[TableIndex(arm, u, s, c)] = _reason(result, values, (name, result.subjects[u], result.seeds[s]))
    both = (values.arms[BASELINE], values.arms[condition])
    subjects = tuple(map(str, result.subjects))
    return Paired(condition, values.measure.metric, *both, subjects, result.seeds, values.clips, reasons)


def _reason(result: AblationResult, values: ConditionValues, key: tuple[str, int, int]) -> str:
    trial = result.trials[key]
    if trial.outcome is None:
        return "not finished"
    if trial.outcome != "COMPLETED":
        return error_line(trial.error)
    return f"undefined: {values.undefined}" if values.undefined else "no value in the store"


def first_seeds(table: Paired, count: int) -> Paired:
    """Return `table` under its first `count` seeds."""
    kept = {cell: why for cell, why in table.reasons.items() if cell.seed < count}
    arms = (table.baseline[:, :count], table.condition[:, :count])
    return Paired(table.name, table.metric, *arms, table.subjects, table.seeds[:count], table.clips, kept)


def _described(
    result: AblationResult, tables: Iterable[ConditionValues]
) -> tuple[dict[Pair, Estimated], dict[Pair, Estimated]]:
    level = 1 - result.design.alpha
    means: dict[Pair, Estimated] = {}
    differences: dict[Pair, Estimated] = {}
    for values in tables:
        for name, array in {**values.controls, **values.arms}.items():
            kept = values.complete(array, array)
            means[name, values.measure.name] = estimated(kept.condition, values.unit, level=level)
            if name in result.design.conditions:
                both = values.complete(values.arms[BASELINE], array)
                shift = both.condition - both.baseline
                differences[name, values.measure.name] = estimated(shift, values.unit, level=level)
    return means, differences


def _by_subject(result: AblationResult, tables: Iterable[ConditionValues]) -> dict[Pair, tuple[Estimated, ...]]:
    level = 1 - result.design.alpha
    found: dict[Pair, tuple[Estimated, ...]] = {}
    for values in tables:
        for name in result.design.conditions:
            arms = zip(values.arms[BASELINE], values.arms[name], strict=True)
            pairs = [values.complete(before[None], after[None]) for before, after in arms]
            shifts = [pair.condition - pair.baseline for pair in pairs]
            found[name, values.measure.name] = tuple(estimated(one, values.unit, level=level) for one in shifts)
    return found


def estimated(values: Floats, unit: ClaimUnit, *, level: float) -> Estimated:
    """Return the mean of finite `values` [subjects, seeds, clips] with Student's interval over `unit`."""
    if values.size == 0:
        return Estimated(math.nan, math.nan, math.nan)
    table = values.mean(axis=0)
    axis = 0 if unit == "clips" else 1
    found = over_both(table) if unit == "both" else over_units(table.mean(axis=axis))
    interval = found.interval(level=level, over=unit)
    return Estimated(found.mean, interval.low, interval.high)


def by_seed(values: ConditionValues, condition: str) -> tuple[Floats, Floats]:
    """Return the mean over clips of every trial of the baseline and of `condition`, [subjects, seeds] each.

    Only clips that all finished trials of both have, so that means are over the same things; NaN where one has none.
    """
    both = np.stack([values.arms[BASELINE], values.arms[condition]])
    present = np.isfinite(both).any(axis=3)
    shared = np.isfinite(both[present]).all(axis=0)
    if not shared.any() or not present.any():
        empty = np.full(both.shape[1:3], np.nan)
        return empty, empty
    means = both[..., shared].mean(axis=3)
    return means[0], means[1]
