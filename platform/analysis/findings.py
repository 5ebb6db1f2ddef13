"""Analysis of an ablation: the baseline against its controls, then all comparisons, and means of all conditions.

Declared comparisons are `design.family`; they are adjusted together. The other conditions are compared in primary
metrics without stars, but with false-discovery rates. All other metrics are described by means and intervals, without
tests.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from platform.analysis.against_finder import FinderTest, against_finder
from platform.analysis.collect import AblationResult
from platform.analysis.condition_values import (
    ConditionValues,
    comparison_plan,
    condition_values,
    paired_table,
)
from platform.analysis.control_tests import ControlTest, control_tests, floors_of, without_floor_claims
from platform.analysis.measures import Measure, find_measure, measure_named
from platform.analysis.per_clip import Floats
from platform.statistics.attainable import ClaimUnit
from platform.statistics.clusters import in_clusters
from platform.statistics.compare import Comparison, compare_exploratory, compare_families, with_false_discovery_rates
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.difference import over_both, over_units
from platform.statistics.paired import PairedTable
from platform.study.design import BASELINE
from trainables.metrics.metric import Metric

CEILING, SHUFFLED = "ceiling", "shuffled_fmri"
"""The controls with all and with no information of the clip's fMRI."""
Pair = tuple[str, str]
"""Condition (or control) and metric."""


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its interval; NaN if there are no values."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is above or below 0."""
        return self.low > 0 or self.high < 0

    def of_mean(self, metric: Metric) -> "MeanInterval":
        """Return it without what lies beyond the metric's range, where no mean can be."""
        return replace(self, low=max(self.low, metric.low), high=min(self.high, metric.high))


@dataclass(frozen=True)
class Findings:
    """All numbers of a report about conditions: of the registered seeds, but for `with_added`."""

    result: AblationResult
    """All trials, those of added seeds included."""
    measures: tuple[Measure, ...]
    """The primary metrics."""
    other_measures: tuple[Measure, ...]
    """The other metrics with values per clip."""
    control_tests: tuple[ControlTest, ...]
    """The baseline against the controls that know nothing of the clip, in the primary metrics that have some."""
    finder_tests: tuple[FinderTest, ...]
    """The baseline against the nearest training clip, in the primary metrics in which it was measured."""
    declared: tuple[Comparison, ...]
    """The registered family, in its order; `name` is the condition."""
    exploratory: tuple[Comparison, ...]
    with_added: tuple[Comparison, ...]
    """The family with the seeds that were added later, exploratory; empty if none were added."""
    means: Mapping[Pair, MeanInterval]
    """Means of all conditions, and of all controls in the baseline."""
    differences: Mapping[Pair, MeanInterval]
    """Differences of all conditions to the baseline, in all metrics."""
    subjects: Mapping[Pair, tuple[MeanInterval, ...]]
    """Differences per subject in primary metrics; empty if there is only one subject."""
    controls: tuple[str, ...]
    tables: Mapping[str, ConditionValues]
    """Metric to its values."""

    @cached_property
    def comparisons(self) -> Mapping[Pair, Comparison]:
        """All tested comparisons."""
        return {(tested.name, tested.metric): tested for tested in (*self.declared, *self.exploratory)}

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """All conditions except the baseline, in the order of tables and figures."""
        return self.result.design.order

    def is_declared(self, pair: Pair) -> bool:
        """Return whether a comparison is part of the registered family."""
        return self.result.design.is_declared(*pair)

    def span(self, metric: str) -> float | None:
        """Return the ceiling minus another clip's fMRI in the baseline: the range in which decoding can move `metric`.

        None if one of them was not measured, or if the ceiling is not the better one.
        """
        ends = [self.means.get((name, metric)) for name in (CEILING, SHUFFLED)]
        values = [end.value for end in ends if end is not None and math.isfinite(end.value)]
        if len(values) < 2 or values[0] == values[1]:
            return None
        span = values[0] - values[1]
        return span if self.tables[metric].measure.sense(span) == "better" else None

    @property
    def measured(self) -> tuple[Measure, ...]:
        """All metrics, the primary metrics first."""
        return (*self.measures, *self.other_measures)


@dataclass(frozen=True)
class _Values:
    """What is compared in one data set."""

    collected: AblationResult
    """All trials, those of added seeds included."""

    @cached_property
    def result(self) -> AblationResult:
        """The trials of the registered seeds."""
        return self.collected.registered_part

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The primary metrics."""
        return tuple(map(measure_named, self.result.design.primary))

    @cached_property
    def primary(self) -> tuple[ConditionValues, ...]:
        """The values of the primary metrics."""
        return tuple(condition_values(self.result, measure) for measure in self.measures)

    @cached_property
    def others(self) -> tuple[ConditionValues, ...]:
        """The values of the other metrics."""
        return tuple(condition_values(self.result, measure) for measure in _other_measures(self.result))

    @property
    def family(self) -> tuple[list[PairedTable], ComparisonPlan]:
        """The tables of the declared comparisons, and their plan."""
        tables = {values.measure.name: values for values in self.primary}
        declared = [(tables[each.metric], each.condition) for each in self.result.design.family]
        plan = comparison_plan(self.result, [values.unit for values, _ in declared])
        return [paired_table(self.result, values, condition) for values, condition in declared], plan


def analyse(collected: AblationResult) -> Findings:
    """Return the comparisons and means of `collected`, an ablation in one data set.

    Raises:
        UserError: The study was registered with a metric that this version does not know.
    """
    return analyse_data_sets([collected])[0]


def analyse_data_sets(collected: Sequence[AblationResult]) -> tuple[Findings, ...]:
    """Return the comparisons and means of an ablation in each of its data sets.

    Values of two data sets are never compared or averaged. The declared comparisons of all of them are one family.

    Raises:
        UserError: The study was registered with a metric that this version does not know.
    """
    parts = [_Values(result) for result in collected]
    tested = _declared(parts)
    return tuple(_findings(values, *each) for values, each in zip(parts, tested, strict=True))


def _findings(values: _Values, tests: tuple[ControlTest, ...], declared: tuple[Comparison, ...]) -> Findings:
    result, floors, every = values.result, floors_of(tests), (*values.primary, *values.others)
    family = [(declaration.condition, declaration.metric) for declaration in result.design.family]
    others = with_false_discovery_rates(tuple(_exploratory(result, values.primary, family)))
    exploratory = tuple(without_floor_claims(tested, floors) for tested in others)
    means, differences = _described(result, every)
    tested = {(comparison.name, comparison.metric): comparison for comparison in (*declared, *exploratory)}
    for pair, comparison in tested.items():
        differences[pair] = MeanInterval(comparison.difference, comparison.interval.low, comparison.interval.high)
    with_added = _with_added(values.collected, values.measures)
    return Findings(
        result=values.collected,
        measures=values.measures,
        other_measures=tuple(each.measure for each in values.others),
        control_tests=tests,
        finder_tests=tuple(against_finder(result, values.primary)),
        declared=declared,
        exploratory=exploratory,
        with_added=tuple(without_floor_claims(tested, floors) for tested in with_added),
        means=means,
        differences=differences,
        subjects=_by_subject(result, values.primary),
        controls=tuple(dict.fromkeys(control for each in every for control in each.controls)),
        tables={each.measure.name: each for each in every},
    )


def declared_comparisons(collected: Sequence[AblationResult]) -> tuple[tuple[Comparison, ...], ...]:
    """Return the declared comparisons alone, over the registered seeds, in each data set of an ablation.

    Raises:
        UserError: The study was registered with a metric that this version does not know.
    """
    return tuple(declared for _, declared in _declared([_Values(result) for result in collected]))


def _declared(parts: Sequence[_Values]) -> Iterator[tuple[tuple[ControlTest, ...], tuple[Comparison, ...]]]:
    """Yield for each data set the tests of its baseline against controls, and its declared comparisons."""
    tests = control_tests([(values.result, values.primary) for values in parts])
    families = compare_families([values.family for values in parts])
    for of_controls, compared in zip(tests, families, strict=True):
        floors = floors_of(of_controls)
        yield of_controls, tuple(without_floor_claims(tested, floors) for tested in compared)


def _with_added(result: AblationResult, measures: Iterable[Measure]) -> Iterator[Comparison]:
    """Yield the declared comparisons over all seeds if some were added: exploratory, since results were known then."""
    if not result.amendments:
        return
    tables = {measure.name: condition_values(result, measure) for measure in measures}
    for declaration in result.design.family:
        values = tables[declaration.metric]
        plan = comparison_plan(result, [values.unit])
        yield compare_exploratory(paired_table(result, values, declaration.condition), plan)


def _exploratory(
    result: AblationResult, tables: Iterable[ConditionValues], family: Sequence[tuple[str, str]]
) -> Iterator[Comparison]:
    """Yield the comparisons of every condition in the primary metrics that the design does not declare."""
    values_of = {values.measure.name: values for values in tables}
    for condition in result.design.order:
        for metric, values in values_of.items():
            if (condition, metric) not in family:
                yield compare_exploratory(
                    paired_table(result, values, condition), comparison_plan(result, [values.unit])
                )


def _other_measures(result: AblationResult) -> Iterable[Measure]:
    published = [metric for table in result.design.published for metric in table.columns]
    for name in dict.fromkeys((*published, *result.clip_metrics())):
        known_measure = find_measure(name) if name not in result.design.primary else None
        if known_measure is not None:
            yield known_measure


def _described(
    result: AblationResult, tables: Iterable[ConditionValues]
) -> tuple[dict[Pair, MeanInterval], dict[Pair, MeanInterval]]:
    level = 1 - result.design.alpha
    means: dict[Pair, MeanInterval] = {}
    differences: dict[Pair, MeanInterval] = {}
    for values in tables:
        for name, array in {**values.controls, **values.by_condition}.items():
            cases = in_clusters(values.complete_cases(array, array))
            mean = mean_interval(cases.condition, values.unit, level=level)
            means[name, values.measure.name] = mean.of_mean(values.measure.metric)
            if name in result.design.conditions:
                arrays = in_clusters(values.complete_cases(values.by_condition[BASELINE], array))
                shift = arrays.condition - arrays.baseline
                differences[name, values.measure.name] = mean_interval(shift, values.unit, level=level)
    return means, differences


def _by_subject(result: AblationResult, tables: Iterable[ConditionValues]) -> dict[Pair, tuple[MeanInterval, ...]]:
    """Return the differences of each subject; none if there is only one subject."""
    if len(result.subjects) == 1:
        return {}
    level = 1 - result.design.alpha
    by_pair: dict[Pair, tuple[MeanInterval, ...]] = {}
    for values in tables:
        for name in result.design.conditions:
            subjects = zip(values.by_condition[BASELINE], values.by_condition[name], strict=True)
            cases = [in_clusters(values.complete_cases(before[None], after[None])) for before, after in subjects]
            shifts = [complete.condition - complete.baseline for complete in cases]
            by_pair[name, values.measure.name] = tuple(
                mean_interval(shift, values.unit, level=level) for shift in shifts
            )
    return by_pair


def of_subject(findings: Findings, subject: int, pair: Pair) -> tuple[MeanInterval, MeanInterval | None]:
    """Return the mean of one subject of the study in a condition and metric, and its difference to the baseline."""
    index, (condition, metric) = findings.result.subjects.index(subject), pair
    values = findings.tables[metric]
    own = values.by_condition[condition][index][None]
    cases = in_clusters(values.complete_cases(own, own)).condition
    effects = findings.subjects.get(pair, ())
    effect = findings.differences.get(pair) if len(findings.result.subjects) == 1 else next(iter(effects[index:]), None)
    mean = mean_interval(cases, values.unit, level=1 - findings.result.design.alpha)
    return mean.of_mean(values.measure.metric), effect


def mean_interval(values: Floats, unit: ClaimUnit, *, level: float) -> MeanInterval:
    """Return the mean of finite `values` [subjects, seeds, clips or clusters] with Student's interval over `unit`."""
    if values.size == 0:
        return MeanInterval(math.nan, math.nan, math.nan)
    table = values.mean(axis=0)
    axis = 0 if unit == "clips" else 1
    estimate = over_both(table) if unit == "both" else over_units(table.mean(axis=axis))
    interval = estimate.interval(level=level, unit=unit)
    return MeanInterval(estimate.mean, interval.low, interval.high)


def means_by_seed(values: ConditionValues, condition: str) -> tuple[Floats, Floats]:
    """Return the mean over clips of every trial of the baseline and of `condition`, [subjects, seeds] each.

    Only clips with values in all finished trials of both conditions are used, so all means are over the same clips.
    The mean of a trial without values is NaN.
    """
    arrays = np.stack([values.by_condition[BASELINE], values.by_condition[condition]])
    present = np.isfinite(arrays).any(axis=3)
    shared = np.isfinite(arrays[present]).all(axis=0)
    if not shared.any() or not present.any():
        empty = np.full(arrays.shape[1:3], np.nan)
        return empty, empty
    means = arrays[..., shared].mean(axis=3)
    return means[0], means[1]
