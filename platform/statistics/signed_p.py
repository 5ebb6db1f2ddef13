"""Difference and p of comparisons without all else, for tables of thousands."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from platform.statistics.attainable import ClaimUnit
from platform.statistics.clusters import in_clusters
from platform.statistics.comparison_plan import ComparisonPlan, generator_of, unit_of
from platform.statistics.difference import over_both
from platform.statistics.paired import CompleteCases, PairedTable, Values, complete_cases
from platform.statistics.primary_p import (
    CLIPS_FLIPPED,
    PRIMARY_TESTS,
    SEEDS_FLIPPED,
    T_OVER_BOTH,
    primary_p,
    smallest_primary_p,
)
from platform.statistics.resampling import sign_flip_p
from trainables.judging.cluster_means import cluster_means


@dataclass(frozen=True)
class SignedP:
    """A difference and its p alone, where thousands are tested and intervals, bounds and verdicts are not shown."""

    difference: float
    """Condition minus baseline, over the complete cases; NaN if there is none."""
    p: float
    """Over the unit of the claim; NaN without complete cases."""
    smallest_p: float
    """The smallest p that this number of units can yield."""
    clusters: int
    """Clusters among the compared clips; the number of clips if they are independent."""


def signed_p(table: PairedTable, plan: ComparisonPlan) -> SignedP:
    """Return difference and p of `compare_exploratory`, without all else; random flips are other ones."""
    return signed_ps([table], plan)[0]


def signed_ps(tables: Sequence[PairedTable], plan: ComparisonPlan) -> tuple[SignedP, ...]:
    """Return `signed_p` of each table. Those of one name, metric and number of units share their flips, drawn once."""
    cases = tuple(map(complete_cases, tables))
    tested = [SignedP(math.nan, math.nan, 1.0, 0)] * len(tables)
    alike: dict[tuple[str, str, ClaimUnit, int, int], list[int]] = defaultdict(list)
    for index, (table, data) in enumerate(zip(tables, cases, strict=True)):
        if not data.empty:
            unit = unit_of(table, plan, family=0)
            alike[table.name, table.metric.name, unit, len(data.seeds), data.units].append(index)
    for (_, _, unit, *_), members in alike.items():
        rng = generator_of(tables[members[0]], plan)
        results = _signed_alike([cases[index] for index in members], unit, plan, rng)
        for index, result in zip(members, results, strict=True):
            tested[index] = result
    return tuple(tested)


def _signed_alike(
    cases: Sequence[CompleteCases], unit: ClaimUnit, plan: ComparisonPlan, rng: np.random.Generator
) -> Iterator[SignedP]:
    """Yield the results of `cases`, which have equal numbers of seeds and clusters."""
    flipped = np.stack([cluster_means(data.differences, data.clusters).flipped for data in cases])
    by_seed = np.stack([in_clusters(data).differences.mean(axis=1) for data in cases])
    tests: Mapping[str, Callable[[], Values]] = {
        SEEDS_FLIPPED: lambda: sign_flip_p(by_seed, rng=rng, resamples=plan.resamples),
        CLIPS_FLIPPED: lambda: sign_flip_p(flipped.mean(axis=1), rng=rng, resamples=plan.resamples),
        T_OVER_BOTH: lambda: np.array([over_both(in_clusters(data).differences).p() for data in cases]),
    }
    p_values = {name: tests[name]() for name in PRIMARY_TESTS[unit]}
    for index, data in enumerate(cases):
        p = primary_p({name: float(values[index]) for name, values in p_values.items()}, unit)
        smallest = smallest_primary_p(flipped[index], unit, plan.resamples)
        yield SignedP(float((data.condition - data.baseline).mean()), p, smallest, data.units)
