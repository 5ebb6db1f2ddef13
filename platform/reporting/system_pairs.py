"""Paired comparisons of systems whose videos are evaluated together, with one adjustment for all of them.

A unit is a clip: each system is judged on the same clips, and the differences are taken clip by clip. Tests, intervals
and Holm's adjustment are those of ablations (`platform.statistics.compare`). Nothing was declared beforehand, so the
family holds every pair of systems in every metric, and no difference gets a star.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from platform.reporting.words import difference_text, finite_or_none, p_text
from platform.statistics.attainable import unattainable
from platform.statistics.compare import Comparison, compare_family
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.paired import TrialValues, pair
from trainables.judging.score_tables import Sheet, shared_clips
from trainables.judging.values import Value
from trainables.metrics.metric import Metric

_PLAN = ComparisonPlan(unit="clips")
_ONLY = ("systems", 0)
"""Stands for subject and seed: there are clips alone."""
_MEANING = (
    "Difference: the mean over clips of first minus second, on the clips of the table above; "
    "{level:.0%} interval: {method}.",
    "p: sign-flip test over {kind}s. p (Holm): adjusted for all {family} comparisons of this table; "
    "better and worse mean that it is at most {alpha:g}.",
    "{units}",
    "A difference holds for other {kind}s like these and for these systems as they are, not for systems trained anew. "
    "Inconclusive does not mean that there is no difference.",
)


@dataclass(frozen=True)
class SystemPair:
    """Two systems in one metric."""

    first: str
    second: str
    metric: Metric
    comparison: Comparison
    """Of the first system (its condition) against the second (its baseline)."""

    @property
    def tested(self) -> bool:
        """Whether there are clips to compare."""
        return math.isfinite(self.comparison.difference)

    @property
    def result(self) -> str:
        """What can be said of the first system."""
        verdict = self.comparison.verdict
        return verdict if verdict == "inconclusive" else f"{self.first} is {verdict}"


def compare_systems(
    values: Sequence[Value],
    metrics: Sequence[Metric],
    systems: Sequence[str],
    *,
    clusters: Mapping[str, str] | None = None,
) -> tuple[SystemPair, ...]:
    """Compare every pair of `systems` in every metric, on the clips over which `summarise_scores` takes the means.

    `clusters` has the cluster of each clip, which is then the unit; without it every clip is on its own.

    If the systems have no clip in common, each pair is compared on the clips that both have.
    """
    reconstructed = [value for value in values if value.control == ""]
    pairs, tables = [], []
    for metric in metrics:
        of_metric = [value for value in reconstructed if value.metric == metric.short]
        clips = shared_clips(values, metric)
        numbers = {clip: number for number, clip in enumerate(sorted({value.clip for value in of_metric}))}
        by_system = {name: _trial(of_metric, name, numbers, clips) for name in systems}
        for first, second in combinations(systems, 2):
            baseline, condition = {_ONLY: by_system[second]}, {_ONLY: by_system[first]}
            pairs.append((first, second, metric))
            table = pair(f"{first} against {second}", metric, baseline=baseline, condition=condition)
            tables.append(replace(table, clusters=_clusters_of(table.clips, numbers, clusters)))
    comparisons = compare_family(tables, _PLAN)
    return tuple(SystemPair(*named, comparison) for named, comparison in zip(pairs, comparisons, strict=True))


def _clusters_of(
    clips: Sequence[int], numbers: Mapping[str, int], clusters: Mapping[str, str] | None
) -> tuple[str, ...]:
    if clusters is None:
        return ()
    names = {number: clip for clip, number in numbers.items()}
    return tuple(clusters[names[clip]] for clip in clips)


def _trial(
    values: Sequence[Value], system: str, numbers: Mapping[str, int], clips: frozenset[str] | None
) -> TrialValues:
    return {
        numbers[value.clip]: value.reason if value.value is None else value.value
        for value in values
        if value.system == system and (clips is None or value.clip in clips)
    }


def comparison_sheet(pairs: Sequence[SystemPair]) -> Sheet:
    """Return the table of the comparisons, with the notes that say what follows from them."""
    header = ("metric", "systems", "clips", "difference", "p", "p (Holm)", "result")
    rows = tuple(
        (
            f"{each.metric.label} {each.metric.arrow}",
            f"{each.first} − {each.second}",
            str(each.comparison.sizes[2]),
            _difference(each.comparison),
            _p(each.comparison.p),
            _p(each.comparison.p_holm),
            each.result if each.tested else "no common clip",
        )
        for each in pairs
    )
    return Sheet("Systems compared, clip by clip", header, rows, _notes(pairs))


def _notes(pairs: Sequence[SystemPair]) -> tuple[str, ...]:
    tested = [each.comparison for each in pairs if each.tested]
    methods = sorted({f"{comparison.interval.method} over {comparison.interval.unit}" for comparison in tested})
    kind = next((comparison.clustered for comparison in tested if comparison.clustered != "clip"), "clip")
    level = {"level": 1 - _PLAN.alpha, "alpha": _PLAN.alpha, "family": len(pairs)}
    facts = {**level, "method": ", ".join(methods), "kind": kind, "units": _units(tested, kind)}
    return (*(text.format(**facts) for text in _MEANING), *_too_few(tested, family=len(pairs)))


def _units(tested: Sequence[Comparison], kind: str) -> str:
    if kind == "clip":
        return (
            "Each clip counts as independent. Clips that were cut from one film are alike, and then p-values are too "
            "small; name the films with --clusters."
        )
    counts = sorted({comparison.clusters for comparison in tested})
    return f"A {kind} is one unit of the tests: the clips lie in {' or '.join(map(str, counts))} {kind}s."


def _too_few(tested: Sequence[Comparison], *, family: int) -> tuple[str, ...]:
    """Return a note if too few clips are compared for any p to be at most alpha."""
    if not tested:
        return ()
    least = min(tested, key=lambda comparison: comparison.clusters)
    kind = least.clustered
    reason = unattainable("clips", seeds=1, clips=least.clusters, alpha=_PLAN.alpha, family=family, clustered=kind)
    return (f"Too few {kind}s for any difference to be significant: {reason}.",) if reason else ()


def _difference(comparison: Comparison) -> str:
    return difference_text(comparison.difference, comparison.interval.low, comparison.interval.high)


def _p(value: float | None) -> str:
    return p_text(value).removeprefix("= ")


def pair_json(each: SystemPair) -> dict[str, Any]:
    """Return a comparison as a JSON object. What is not defined is null."""
    comparison, effect = each.comparison, each.comparison.effect
    numbers = {
        "first_mean": comparison.condition,
        "second_mean": comparison.baseline,
        "difference": comparison.difference,
        "low": comparison.interval.low,
        "high": comparison.interval.high,
        "p": comparison.p,
        "p_holm": comparison.p_holm,
        "cliffs_delta": None if effect is None else effect.cliff.value,
        "hedges_g_z": None if effect is None else effect.g_z.value,
    }
    return {
        "first": each.first,
        "second": each.second,
        "metric": each.metric.short,
        "clips": comparison.sizes[2],
        "clusters": comparison.clusters,
        "clustered_by": comparison.clustered,
        **{name: finite_or_none(value) for name, value in numbers.items()},
        "interval": f"{comparison.interval.method} over {comparison.interval.unit}, {comparison.interval.level:.0%}",
        "family": comparison.family,
        "smallest_p": comparison.smallest_p,
        "result": comparison.verdict if each.tested else "no common clip",
    }
