"""One comparison, judged: difference, interval, p, effect size, equivalence, what is missing, and the verdict.

`compare_family` judges the declared family together, with Holm's adjustment, and is alone in giving stars. `compare`
judges one table by itself; what it returns is exploratory.

The primary p and interval are those of the plan's unit (see `platform.statistics.difference` for what each generalises
over). Primary intervals are those whose measured coverage is best: BCa over clips where there are at least 30 of them,
otherwise Student's t over the unit; for `both` the t interval of min F'. The others stand beside them in `intervals`.

Verdicts, at level alpha, by adjusted p where there is one: `equivalent` if the difference is within the declared
margin (also where it is significant: it is there, but smaller than what was declared to matter, and a warning says
so), else `better` or `worse` if it is significant, else `inconclusive`, which is not "no difference".
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from platform.statistics.difference import (
    GENERALISES,
    ClaimUnit,
    Estimate,
    default_unit,
    over_both,
    over_units,
    smallest_p,
    unattainable,
    wilcoxon_p,
)
from platform.statistics.effects import Effects, effects
from platform.statistics.equivalence import tost
from platform.statistics.missing import Bounds, Missing, missing, worst_case
from platform.statistics.multiplicity import holm, stars
from platform.statistics.paired import Complete, Paired, Values, complete
from platform.statistics.resampling import ENOUGH_UNITS, Interval, bca_interval, crossed_interval, sign_flip_p

Verdict: TypeAlias = Literal["worse", "better", "equivalent", "inconclusive"]
FEWEST_RESAMPLES = 999
Counts: TypeAlias = tuple[int, int, int]
"""Subjects, seeds, clips."""


@dataclass(frozen=True)
class ComparisonPlan:
    """What was declared before the first trial."""

    alpha: float = 0.05
    unit: ClaimUnit | None = None
    """None: the most demanding one that the planned seeds, clips and family can attain."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Metric to its margin of equivalence; without one, nothing is ever called equivalent."""
    resamples: int = 9999
    """Sign flips, where there are too many to make them all."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < 1.0 and self.resamples >= FEWEST_RESAMPLES):
            raise ValueError(f"{self}: needs 0 < alpha < 1 and at least {FEWEST_RESAMPLES} resamples")
        if not all(margin > 0.0 for margin in self.margins.values()):
            raise ValueError(f"{self}: every margin must be above 0, in its metric's unit")


@dataclass(frozen=True)
class Equivalence:
    """The two one-sided tests against a declared margin."""

    margin: float
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What can be said about a condition against the baseline in one metric; NaN where nothing is left to compare."""

    name: str
    metric: str
    unit: ClaimUnit
    generalises_over: str
    family: int
    """Comparisons in the declared family; 0 for an exploratory one."""
    planned: Counts
    kept: Counts
    baseline: float
    condition: float
    difference: float
    """Condition minus baseline, over what is kept."""
    interval: Interval
    intervals: tuple[Interval, ...]
    p: float
    p_holm: float | None
    """None for an exploratory comparison."""
    p_values: Mapping[str, float]
    smallest_p: float
    """What these units could have yielded at best, before adjustment."""
    effect: Effects | None
    """Over seeds for the unit `seeds`, over clips otherwise."""
    equivalence: Equivalence | None
    verdict: Verdict
    stars: str
    by_seed: Mapping[str, tuple[float, ...]]
    """Subject to its difference under each kept seed, over clips."""
    missing: tuple[Missing, ...]
    bounds: Bounds
    warnings: tuple[str, ...]


def compare_family(tables: Sequence[Paired], plan: ComparisonPlan) -> tuple[Comparison, ...]:
    """Judge the declared family. Give every declared table, also one in which all trials failed: it counts.

    Raises:
        ValueError: The same comparison is given twice in the same metric.
    """
    counted = Counter((table.name, table.metric.name) for table in tables)
    twice = [" in ".join(key) for key, times in counted.items() if times > 1]
    if twice:
        raise ValueError(f"given more than once, a family names each comparison once: {', '.join(twice)}")
    found = [_compare(table, plan, len(tables)) for table in tables]
    adjusted = holm([one.p for one in found])
    with_margin = [i for i, one in enumerate(found) if one.equivalence is not None]
    alike = dict(zip(with_margin, holm([_p_alike(found[i]) for i in with_margin]), strict=True))
    return tuple(
        _judged(_adjusted(one, p, alike.get(i), plan.alpha), tables[i], plan)
        for i, (one, p) in enumerate(zip(found, adjusted, strict=True))
    )


def _adjusted(one: Comparison, p: float, p_alike: float | None, alpha: float) -> Comparison:
    same = None if one.equivalence is None else replace(one.equivalence, p_holm=p_alike)
    return replace(one, p_holm=p, stars=stars(p, alpha=alpha), equivalence=same)


def _p_alike(one: Comparison) -> float:
    """Adjusted p of equivalence, else the plain one, else NaN."""
    if one.equivalence is None:
        return math.nan
    return one.equivalence.p if one.equivalence.p_holm is None else one.equivalence.p_holm


def compare(table: Paired, plan: ComparisonPlan) -> Comparison:
    """Judge one comparison outside any family: exploratory, no stars."""
    return _judged(_compare(table, plan, 0), table, plan)


def _compare(table: Paired, plan: ComparisonPlan, family: int) -> Comparison:
    data = complete(table)
    planned = (len(table.subjects), len(table.seeds), len(table.clips))
    kept = (len(data.subjects), len(data.seeds), len(data.clips))
    unit = plan.unit
    if unit is None:
        unit = default_unit(seeds=planned[1], clips=planned[2], alpha=plan.alpha, family=max(1, family))
    rng = np.random.default_rng([plan.seed, zlib.crc32(f"{table.name}\n{table.metric.name}".encode())])
    nothing = Interval(math.nan, math.nan, 1 - plan.alpha, "none", unit)
    intervals = () if data.empty else _intervals(data, unit, plan, rng)
    p_values = {} if data.empty else _p_values(data.differences, plan, rng)
    return Comparison(
        name=table.name,
        metric=table.metric.name,
        unit=unit,
        generalises_over=GENERALISES[unit],
        family=family,
        planned=planned,
        kept=kept,
        baseline=_mean(data.baseline),
        condition=_mean(data.condition),
        difference=_mean(data.condition - data.baseline),
        interval=intervals[0] if intervals else nothing,
        intervals=intervals,
        p=_primary(p_values, unit),
        p_holm=None,
        p_values=p_values,
        smallest_p=_smallest(data, unit, plan.resamples),
        effect=None if data.empty else _effect(data, unit, 1 - plan.alpha),
        equivalence=_equivalence(data, unit, plan.margins.get(table.metric.name)),
        verdict="inconclusive",
        stars="",
        by_seed=_by_seed(data),
        missing=missing(table),
        bounds=worst_case(table),
        warnings=_warnings(planned, kept, unit=unit, plan=plan, family=family),
    )


def _mean(values: Values) -> float:
    return float(values.mean()) if values.size > 0 else math.nan


def _by_seed(data: Complete) -> dict[str, tuple[float, ...]]:
    if data.empty:
        return {}
    means = (data.condition - data.baseline).mean(axis=2)
    return {subject: tuple(row.tolist()) for subject, row in zip(data.subjects, means, strict=True)}


def _estimates(differences: Values, unit: ClaimUnit) -> tuple[Estimate, ...]:
    """Return what a claim about the unit must hold for, its own estimate first, from `differences` [seeds, clips]."""
    seeds, clips = over_units(differences.mean(axis=1)), over_units(differences.mean(axis=0))
    return {"seeds": (seeds,), "clips": (clips,), "both": (over_both(differences), seeds, clips)}[unit]


def _intervals(data: Complete, unit: ClaimUnit, plan: ComparisonPlan, rng: np.random.Generator) -> tuple[Interval, ...]:
    """All intervals, the primary one first."""
    level, differences = 1 - plan.alpha, data.differences
    names: dict[ClaimUnit, str] = {"seeds": "seeds", "clips": "clips", "both": "seeds and clips"}
    student = {name: _estimates(differences, name)[0].interval(level=level, over=names[name]) for name in names}
    by_seed = bca_interval(differences.mean(axis=1), over="seeds", level=level, rng=rng)
    by_clip = bca_interval(differences.mean(axis=0), over="clips", level=level, rng=rng)
    crossed = crossed_interval(data.condition - data.baseline, level=level, rng=rng)
    first = by_clip if unit == "clips" and len(data.clips) >= ENOUGH_UNITS else student[unit]
    rest = (*student.values(), by_seed, by_clip, crossed)
    return (first, *(interval for interval in rest if interval is not first))


def _p_values(differences: Values, plan: ComparisonPlan, rng: np.random.Generator) -> dict[str, float]:
    by_seed, by_clip = differences.mean(axis=1), differences.mean(axis=0)
    return {
        "sign flip over seeds": float(sign_flip_p(by_seed, rng=rng, resamples=plan.resamples)),
        "sign flip over clips": float(sign_flip_p(by_clip, rng=rng, resamples=plan.resamples)),
        "t over seeds and clips": over_both(differences).p(),
        "Wilcoxon over seeds": wilcoxon_p(by_seed),
        "Wilcoxon over clips": wilcoxon_p(by_clip),
    }


def _primary(p_values: Mapping[str, float], unit: ClaimUnit) -> float:
    if not p_values:
        return math.nan
    names = {
        "seeds": ("sign flip over seeds",),
        "clips": ("sign flip over clips",),
        "both": ("sign flip over seeds", "sign flip over clips", "t over seeds and clips"),
    }[unit]
    # A test that cannot be made (one seed has no spread) shows nothing.
    return max(1.0 if math.isnan(p_values[name]) else p_values[name] for name in names)


def _smallest(data: Complete, unit: ClaimUnit, resamples: int) -> float:
    if data.empty:
        return 1.0
    seeds, clips = (
        smallest_p(int(np.count_nonzero(data.differences.mean(axis=axis))), resamples=resamples) for axis in (1, 0)
    )
    return {"seeds": seeds, "clips": clips, "both": max(seeds, clips)}[unit]


def _effect(data: Complete, unit: ClaimUnit, level: float) -> Effects:
    axes = (0, 2) if unit == "seeds" else (0, 1)
    return effects(data.baseline.mean(axis=axes), data.condition.mean(axis=axes), level=level)


def _equivalence(data: Complete, unit: ClaimUnit, margin: float | None) -> Equivalence | None:
    if margin is None:
        return None
    if data.empty:
        return Equivalence(margin, math.nan)
    found = [tost(estimate, margin=margin) for estimate in _estimates(data.differences, unit)]
    return Equivalence(margin, math.nan if any(map(math.isnan, found)) else max(found))


def _warnings(planned: Counts, kept: Counts, *, unit: ClaimUnit, plan: ComparisonPlan, family: int) -> tuple[str, ...]:
    """Tell what the design, as it came out, cannot show."""
    said = []
    if planned != kept:
        listed = ", ".join(
            f"{have} of {all_} {name}"
            for name, have, all_ in zip(("subjects", "seeds", "clips"), kept, planned, strict=True)
        )
        said.append(f"values are missing: {listed} are compared (listwise)")
    hopeless = unattainable(unit, seeds=kept[1], clips=kept[2], alpha=plan.alpha, family=max(1, family))
    if hopeless:
        said.append(f"no star can be earned: {hopeless}")
    if plan.unit is None and unit == "clips":
        why = unattainable("both", seeds=planned[1], clips=planned[2], alpha=plan.alpha, family=max(1, family))
        said.append(f"the p is over clips, for these networks only, not for networks trained anew: {why}")
    return tuple(said)


def _judged(one: Comparison, table: Paired, plan: ComparisonPlan) -> Comparison:
    p = one.p if one.p_holm is None else one.p_holm
    differs = p <= plan.alpha
    said = list(one.warnings)
    if one.interval.warning != "":
        said.append(one.interval.warning)
    if one.missing and one.bounds.low < 0.0 < one.bounds.high:
        said.append("the missing values could turn the difference the other way round")
    verdict: Verdict = "inconclusive"
    if _p_alike(one) <= plan.alpha:
        verdict = "equivalent"
        if differs:
            said.append("differs significantly, but by less than the declared margin")
    elif differs:
        verdict = "better" if one.difference * table.sign > 0 else "worse"
    return replace(one, verdict=verdict, warnings=tuple(said))
