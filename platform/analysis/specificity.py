"""Specificity: does taking one part away cost its own metric more than another part's removal does?

That a condition makes its metric worse does not show that the metric is about what the condition takes away: everything
may get worse. For two declared comparisons, condition c in metric m and c' in m', the contrast condition x metric is

    (effect of c in m - effect of c' in m) - (effect of c in m' - effect of c' in m')

with effects in units of the ceiling minus another clip's fMRI, so that metrics can be subtracted, and with positive
values for better. It is paired by subject, seed and clip; exploratory, not adjusted.

A contrast below 0 alone does not show that each part matters more for its own metric: c may cost more than c' in both
metrics, only less so in m'. That is shown by both terms alone: c costs more than c' in m, and c' more than c in m'
(a double dissociation, Shallice 1988). Both must be significant, so neither is adjusted (intersection-union test,
Berger 1982).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from platform.analysis.condition_values import ConditionValues, comparison_plan
from platform.analysis.findings import Findings, Pair
from platform.analysis.per_clip import Floats
from platform.statistics.compare import Comparison, compare_exploratory
from platform.statistics.paired import PairedTable
from platform.statistics.signed_p import SignedP, signed_p
from trainables.metrics.metric import Metric

_MOST = 40
"""Pairs of comparisons beyond which none is tested: a table of hundreds answers no question."""
_SHARE = Metric(
    "specificity", title="specificity", goal="max", low=-math.inf, high=math.inf, source="difference of differences"
)


@dataclass(frozen=True)
class Specificity:
    """Two declared comparisons, and the contrast condition x metric."""

    first: Pair
    """Condition and metric."""
    second: Pair
    comparison: Comparison
    """The contrast condition x metric."""
    in_first: SignedP
    """The effect of the first condition minus that of the second, in the metric of the first."""
    in_second: SignedP
    """The effect of the second condition minus that of the first, in the metric of the second."""

    def is_double(self, alpha: float) -> bool:
        """Return whether each condition costs its own metric more than the other condition does."""
        return all(each.p <= alpha and each.difference < 0 for each in (self.in_first, self.in_second))

    def can_be_tested(self, alpha: float) -> bool:
        """Return whether so many subjects, seeds and clips can yield a p of `alpha`."""
        return all(each.smallest_p <= alpha for each in (self.comparison, self.in_first, self.in_second))

    @property
    def crossed(self) -> tuple[Pair, Pair, Pair, Pair]:
        """The four effects: each condition in its own metric, and in that of the other."""
        (condition, metric), (other, other_metric) = self.first, self.second
        return self.first, (condition, other_metric), (other, metric), self.second


def specificities(findings: Findings) -> tuple[Specificity, ...]:
    """Return the contrasts of all pairs of declared comparisons that differ in condition and in metric.

    A pair is left out if a condition of it is declared in both metrics, or if a metric has no range. There are none if
    more than `MOST` pairs are left.
    """
    declared = [(each.name, each.metric) for each in findings.declared if each.sizes[0] > 0]
    known = frozenset(declared)
    pairs = [
        (first, second)
        for first, second in combinations(declared, 2)
        if first[0] != second[0] and first[1] != second[1] and not _is_shared(known, first, second)
    ]
    return tuple(_tested(findings, pairs)) if len(pairs) <= _MOST else ()


def _is_shared(declared: frozenset[Pair], first: Pair, second: Pair) -> bool:
    return (first[0], second[1]) in declared or (second[0], first[1]) in declared


def _tested(findings: Findings, pairs: list[tuple[Pair, Pair]]) -> Iterator[Specificity]:
    for first, second in pairs:
        one, other = findings.tables[first[1]], findings.tables[second[1]]
        spans = findings.span(first[1]), findings.span(second[1])
        if spans[0] is None or spans[1] is None or one.clips != other.clips or one.unit != other.unit:
            continue
        own = [_in_range(one, condition, spans[0]) for condition in (first[0], second[0])]
        others = [_in_range(other, condition, spans[1]) for condition in (first[0], second[0])]
        name = f"{first[0]} x {second[0]}, {first[1]} x {second[1]}"
        plan = comparison_plan(findings.result.registered_part, [one.unit])
        yield Specificity(
            first,
            second,
            compare_exploratory(_table(findings, one, name, own[1] - others[1], own[0] - others[0]), plan),
            signed_p(_table(findings, one, f"{name}: in {first[1]}", own[1], own[0]), plan),
            signed_p(_table(findings, one, f"{name}: in {second[1]}", others[0], others[1]), plan),
        )


def _table(findings: Findings, values: ConditionValues, name: str, minus: Floats, plus: Floats) -> PairedTable:
    """Return the table of `plus` against `minus` [subjects, seeds, clips], which are shares of a range."""
    axes = (tuple(map(str, findings.result.subjects)), findings.result.registered_part.seeds, values.clips)
    return PairedTable(name, _SHARE, minus, plus, *axes, clusters=values.clusters)


def _in_range(values: ConditionValues, condition: str, span: float) -> Floats:
    """Return the values of `condition` [subjects, seeds, clips] in units of the range; larger is better."""
    return values.by_condition[condition] / span
