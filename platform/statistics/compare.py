"""Comparison of a condition with the baseline: difference, interval, p, effect size, equivalence, bounds and verdict.

`compare_family` tests the declared family with Holm's adjustment. Only its comparisons can earn stars.
`compare_exploratory` tests one table outside the family.

Where clips lie in clusters (`platform.statistics.clusters`), "clips" means clusters in all that follows.

The primary p and interval are those of the plan's unit (`platform.statistics.difference` explains what each unit
generalises over). The primary interval is the one with the best measured coverage: BCa over clips if there are at
least 30 clips, otherwise Student's t over the unit; for `both` the t interval of min F'. `intervals` holds all of them.

The verdict uses level alpha, and the adjusted p if there is one. `equivalent`: the difference is within the declared
margin; if it is also significant, a warning says so. `better` or `worse`: it is significant. Otherwise `inconclusive`,
which does not mean "no difference". `reason` says why nothing can be concluded, if it is not the p-value alone:
`platform.statistics.sameness` lists what forbids `equivalent`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np

from platform.statistics.attainable import ClaimUnit, unattainable
from platform.statistics.clusters import in_clusters
from platform.statistics.comparison_plan import ComparisonPlan, generator_of, planned_units, unit_of
from platform.statistics.difference import Estimate, over_both, over_units
from platform.statistics.effects import Effects, effects
from platform.statistics.equivalence import tost
from platform.statistics.missing import Bounds, MissingValues, missing_values, worst_case
from platform.statistics.multiplicity import false_discovery_rates, holm, stars
from platform.statistics.paired import CompleteCases, PairedTable, Values, complete_cases
from platform.statistics.population import population
from platform.statistics.primary_p import primary_p, smallest_primary_p, tests_of
from platform.statistics.resampling import ENOUGH_UNITS, Interval, bca_interval, crossed_interval
from platform.statistics.sameness import Reason, missing_trials, no_spread
from trainables.datasets.clusters import kind_of
from trainables.judging.cluster_means import cluster_means

Verdict: TypeAlias = Literal["worse", "better", "equivalent", "inconclusive"]
Counts: TypeAlias = tuple[int, int, int]
"""Subjects, seeds, clips."""


@dataclass(frozen=True)
class Equivalence:
    """The two one-sided tests against a declared margin."""

    margin: float
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The result for a condition against the baseline in one metric; NaN if no values can be compared."""

    name: str
    metric: str
    unit: ClaimUnit
    generalises_over: str
    family: int
    """Comparisons in the declared family; 0 for an exploratory one."""
    planned: Counts
    sizes: Counts
    clusters: int
    """Clusters among the compared clips, the units of tests over clips; the number of clips if they are independent."""
    clustered: str
    """What the clips of a cluster share, such as `film`; `clip` if they are independent."""
    baseline: float
    condition: float
    difference: float
    """Condition minus baseline, over the complete cases."""
    interval: Interval
    intervals: tuple[Interval, ...]
    p: float
    p_holm: float | None
    """None for an exploratory comparison."""
    p_values: Mapping[str, float]
    smallest_p: float
    """The smallest p that this number of units can yield, before adjustment."""
    effect: Effects | None
    """Over the unit of the claim; None for `both`, for which no such size with a valid interval is known."""
    equivalence: Equivalence | None
    verdict: Verdict
    stars: str
    by_seed: Mapping[str, tuple[float, ...]]
    """Subject to its difference under each kept seed that it has, over clips."""
    missing: tuple[MissingValues, ...]
    bounds: Bounds
    warnings: tuple[str, ...]
    reason: Reason = ""
    """Why it is inconclusive, if the p-value is not the only reason."""
    q: float | None = None
    """False-discovery rate among the exploratory comparisons of a study; None for others."""


def compare_family(tables: Sequence[PairedTable], plan: ComparisonPlan) -> tuple[Comparison, ...]:
    """Test the declared family.

    `tables` holds every declared comparison, also one in which all trials failed: it counts in Holm's adjustment.

    Raises:
        ValueError: The same comparison is given twice in the same metric.
    """
    return compare_families([(tables, plan)])[0]


def compare_families(
    parts: Sequence[tuple[Sequence[PairedTable], ComparisonPlan]],
) -> tuple[tuple[Comparison, ...], ...]:
    """Test one family whose tables are of several data sets, each with its plan; Holm's adjustment is over all of them.

    No table holds values of two data sets, and nothing is pooled. See `compare_family`.
    """
    for tables, _ in parts:
        _refuse_repeated(tables)
    family = [(table, plan) for tables, plan in parts for table in tables]
    comparisons = [_compare(table, plan, len(family)) for table, plan in family]
    adjusted = holm([comparison.p for comparison in comparisons])
    with_margin = [i for i, comparison in enumerate(comparisons) if comparison.equivalence is not None]
    equivalence = dict(zip(with_margin, holm([_equivalence_p(comparisons[i]) for i in with_margin]), strict=True))
    tested = iter(
        _with_verdict(_adjusted(comparison, p, equivalence.get(i), family[i][1].alpha), *family[i])
        for i, (comparison, p) in enumerate(zip(comparisons, adjusted, strict=True))
    )
    return tuple(tuple(islice(tested, len(tables))) for tables, _ in parts)


def _refuse_repeated(tables: Sequence[PairedTable]) -> None:
    counted = Counter((table.name, table.metric.name) for table in tables)
    twice = [" in ".join(key) for key, times in counted.items() if times > 1]
    if twice:
        raise ValueError(f"a family must name each comparison once, but these are repeated: {', '.join(twice)}")


def with_false_discovery_rates(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return exploratory comparisons with their rates among each other; p, verdict and stars stay as they are."""
    rates = false_discovery_rates([comparison.p for comparison in comparisons])
    return tuple(replace(comparison, q=rate) for comparison, rate in zip(comparisons, rates, strict=True))


def _adjusted(comparison: Comparison, p: float, equivalence_p: float | None, alpha: float) -> Comparison:
    equivalence = comparison.equivalence
    equivalence = None if equivalence is None else replace(equivalence, p_holm=equivalence_p)
    return replace(comparison, p_holm=p, stars=stars(p, alpha=alpha), equivalence=equivalence)


def _equivalence_p(comparison: Comparison) -> float:
    """Return the adjusted p of equivalence, or else the plain p, or else NaN."""
    equivalence = comparison.equivalence
    if equivalence is None:
        return math.nan
    return equivalence.p if equivalence.p_holm is None else equivalence.p_holm


def compare_exploratory(table: PairedTable, plan: ComparisonPlan) -> Comparison:
    """Test one comparison outside the declared family: exploratory, without stars."""
    return _with_verdict(_compare(table, plan, 0), table, plan)


def _compare(table: PairedTable, plan: ComparisonPlan, family: int) -> Comparison:
    data = complete_cases(table)
    planned = (len(table.subjects), len(table.seeds), len(table.clips))
    sizes = (len(data.subjects), len(data.seeds), len(data.clips))
    tested, clustered = in_clusters(data), kind_of(table.clusters)
    unit, rng = unit_of(table, plan, family=family), generator_of(table, plan)
    undefined = Interval(math.nan, math.nan, 1 - plan.alpha, "none", unit)
    intervals = () if data.empty else _intervals(tested, unit, plan, rng, clustered=clustered)
    flipped = np.empty((0, 0)) if data.empty else cluster_means(data.differences, data.clusters).flipped
    tests = {} if data.empty else tests_of(tested.differences, flipped, plan, rng)
    p_values = {name: test() for name, test in tests.items()}
    return Comparison(
        name=table.name,
        metric=table.metric.name,
        unit=unit,
        generalises_over=population(unit, clustered=clustered, varied=plan.varied, dataset=plan.dataset),
        family=family,
        planned=planned,
        sizes=sizes,
        clusters=data.units,
        clustered=clustered,
        baseline=_mean(data.baseline),
        condition=_mean(data.condition),
        difference=_mean(data.condition - data.baseline),
        interval=intervals[0] if intervals else undefined,
        intervals=intervals,
        p=primary_p(p_values, unit),
        p_holm=None,
        p_values=p_values,
        smallest_p=1.0 if data.empty else smallest_primary_p(flipped, unit, plan.resamples),
        effect=None if data.empty or unit == "both" else _effect(tested, unit, 1 - plan.alpha),
        equivalence=_equivalence(tested, unit, plan.margins.get(table.metric.name)),
        verdict="inconclusive",
        stars="",
        by_seed=_by_seed(data),
        missing=missing_values(table),
        bounds=worst_case(table),
        warnings=(*_partly_missing(data), *_warnings(table, data, unit=unit, plan=plan, family=family)),
        reason=_reason(tested, unit, plan.alpha, family),
    )


def _reason(data: CompleteCases, unit: ClaimUnit, alpha: float, family: int) -> Reason:
    """Return why neither a difference nor sameness can be shown with these values; empty if both can."""
    if data.empty:
        return ""
    seeds, clips = data.differences.shape
    if unattainable(unit, seeds=seeds, clips=clips, alpha=alpha, family=max(1, family)):
        return "too few units"
    return no_spread(data, _estimates(data.differences, unit))


def _mean(values: Values) -> float:
    return float(values.mean()) if values.size > 0 else math.nan


def _by_seed(data: CompleteCases) -> dict[str, tuple[float, ...]]:
    if data.empty:
        return {}
    means = (data.condition - data.baseline).mean(axis=2)
    rows = zip(data.subjects, means, data.filled, strict=True)
    return {subject: tuple(row[~filled].tolist()) for subject, row, filled in rows}


def _estimates(differences: Values, unit: ClaimUnit) -> tuple[Estimate, ...]:
    """Return the estimates on which a claim about `unit` rests, its own first, from `differences` [seeds, clips]."""
    seeds, clips = over_units(differences.mean(axis=1)), over_units(differences.mean(axis=0))
    return {"seeds": (seeds,), "clips": (clips,), "both": (over_both(differences), seeds, clips)}[unit]


def _intervals(
    data: CompleteCases, unit: ClaimUnit, plan: ComparisonPlan, rng: np.random.Generator, *, clustered: str
) -> tuple[Interval, ...]:
    """Return all intervals, the primary one first."""
    level, differences, clips = 1 - plan.alpha, data.differences, f"{clustered}s"
    names: dict[ClaimUnit, str] = {"seeds": "seeds", "clips": clips, "both": f"seeds and {clips}"}
    student = {name: _estimates(differences, name)[0].interval(level=level, unit=names[name]) for name in names}
    by_seed = bca_interval(differences.mean(axis=1), unit="seeds", level=level, rng=rng)
    by_clip = bca_interval(differences.mean(axis=0), unit=clips, level=level, rng=rng)
    crossed = crossed_interval(data.condition - data.baseline, level=level, rng=rng)
    first = by_clip if unit == "clips" and len(data.clips) >= ENOUGH_UNITS else student[unit]
    all_intervals = (*student.values(), by_seed, by_clip, crossed)
    return (first, *(interval for interval in all_intervals if interval is not first))


def _effect(data: CompleteCases, unit: ClaimUnit, level: float) -> Effects:
    axes = (0, 2) if unit == "seeds" else (0, 1)
    return effects(data.baseline.mean(axis=axes), data.condition.mean(axis=axes), level=level)


def _equivalence(data: CompleteCases, unit: ClaimUnit, margin: float | None) -> Equivalence | None:
    if margin is None:
        return None
    if data.empty:
        return Equivalence(margin, math.nan)
    p_values = [tost(estimate, margin=margin) for estimate in _estimates(data.differences, unit)]
    return Equivalence(margin, math.nan if any(map(math.isnan, p_values)) else max(p_values))


def _warnings(
    table: PairedTable, data: CompleteCases, *, unit: ClaimUnit, plan: ComparisonPlan, family: int
) -> tuple[str, ...]:
    """Return warnings about values that are missing and about claims that the units do not allow."""
    planned = (len(table.subjects), len(table.seeds), len(table.clips))
    sizes = (len(data.subjects), len(data.seeds), len(data.clips))
    unattained = partial(unattainable, alpha=plan.alpha, family=max(1, family), clustered=kind_of(table.clusters))
    warnings = []
    if planned != sizes:
        listed = ", ".join(
            f"{have} of {all_} {name}"
            for name, have, all_ in zip(("subjects", "seeds", "clips"), sizes, planned, strict=True)
        )
        warnings.append(f"values are missing: {listed} are compared (listwise)")
    reason = unattained(unit, seeds=sizes[1], clips=data.units)
    if reason:
        warnings.append(f"no star can be earned: {reason}")
    if plan.unit is None and unit == "clips":
        reason = unattained("both", seeds=planned[1], clips=planned_units(table))
        warnings.append(f"the p is over clips: it holds for these networks, not for networks trained anew: {reason}")
    return tuple(warnings)


def _partly_missing(data: CompleteCases) -> tuple[str, ...]:
    seeds = int(data.filled.any(axis=0).sum())
    return (f"{seeds} of {len(data.seeds)} seeds are the mean of the subjects that have them",) if seeds else ()


def _with_verdict(comparison: Comparison, table: PairedTable, plan: ComparisonPlan) -> Comparison:
    p = comparison.p if comparison.p_holm is None else comparison.p_holm
    differs = p <= plan.alpha
    warnings = list(comparison.warnings)
    if comparison.interval.warning != "":
        warnings.append(comparison.interval.warning)
    if comparison.missing and comparison.bounds.low < 0.0 < comparison.bounds.high:
        warnings.append("the missing values could reverse the sign of the difference")
    verdict: Verdict = "inconclusive"
    reason = comparison.reason
    within = _equivalence_p(comparison) <= plan.alpha
    if within and reason == "":
        reason = missing_trials(comparison.missing, comparison.bounds, margin=plan.margins[comparison.metric])
    if within and reason == "":
        verdict = "equivalent"
        if differs:
            warnings.append("differs significantly, but by less than the declared margin")
    elif differs:
        verdict, reason = "better" if comparison.difference * table.sign > 0 else "worse", ""
    return replace(comparison, verdict=verdict, warnings=tuple(warnings), reason=reason)
