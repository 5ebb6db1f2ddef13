"""The table of comparisons of a report, with the notes that say what its numbers mean and assume."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from platform.analysis.findings import Findings, MeanInterval
from platform.reporting.tables import TONES, column_decimals
from platform.reporting.words import DASH, bracket, counted, number, p_text
from platform.statistics.compare import Comparison, Equivalence
from platform.statistics.levels import far_seeds, level_note
from trainables.pages.grid import Cell, Grid


def comparison_table(comparisons: Sequence[Comparison], findings: Findings, *, title: str) -> Grid:
    """Return the table of comparisons: difference, interval, p, sizes of effects, equivalence, verdict."""
    columns = _Columns.of(comparisons, findings)
    header = ("condition", "metric", "difference", *(("share",) if columns.shares else ()), "p")
    header += ("p (Holm)",) if columns.declared else ()
    header += ("q",) if columns.rates else ()
    header += ("Hedges g", "Cliff's δ") if columns.effects else ()
    header += (*(("p (same)",) if columns.margins else ()), "smallest p", "verdict")
    rows = tuple(tuple(_cells(comparison, findings, columns)) for comparison in comparisons)
    return Grid(title, header, rows, (*_comparison_notes(comparisons, findings, columns), *_warnings(comparisons)))


@dataclass(frozen=True)
class _Columns:
    """The columns of a table of comparisons that not every table has, and the decimals of each metric."""

    declared: bool
    shares: bool
    effects: bool
    rates: bool
    margins: bool
    digits: Mapping[str, int]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], findings: Findings) -> "_Columns":
        intervals: dict[str, list[MeanInterval]] = {}
        for each in comparisons:
            interval = MeanInterval(each.difference, each.interval.low, each.interval.high)
            intervals.setdefault(each.metric, []).append(interval)
        return cls(
            any(comparison.p_holm is not None for comparison in comparisons),
            any(findings.span(comparison.metric) is not None for comparison in comparisons),
            any(comparison.effect is not None for comparison in comparisons),
            any(comparison.q is not None for comparison in comparisons),
            any(comparison.equivalence is not None for comparison in comparisons),
            {metric: column_decimals(column) for metric, column in intervals.items()},
        )


def _comparison_notes(comparisons: Sequence[Comparison], findings: Findings, columns: _Columns) -> Iterator[str]:
    compared = [comparison for comparison in comparisons if comparison.sizes[0] > 0]
    if compared:
        methods = sorted({f"{each.interval.method} over {each.interval.unit}" for each in compared})
        generalised = sorted({comparison.generalises_over for comparison in compared})
        yield (
            f"Intervals: {', '.join(methods)}, not adjusted for several comparisons. Results generalise to: "
            f"{'; '.join(generalised)}."
        )
    if columns.shares:
        titles = {measure.name: measure.title for measure in findings.measures}
        spans = [
            (titles[metric], findings.span(metric)) for metric in dict.fromkeys(each.metric for each in comparisons)
        ]
        sizes = ", ".join(f"{title} {number(abs(span), 3)}" for title, span in spans if span is not None)
        yield (
            "Share: the difference in units of the ceiling minus another clip's fMRI, both of the baseline and taken "
            f"as known ({sizes}); positive is better."
        )
    if columns.rates:
        yield (
            f"q: false-discovery rate among these {counted(len(comparisons), 'comparison')} (Benjamini and Hochberg), "
            "those without any difference included; of those with q ≤ 0.05, at most one in 20 is expected to be chance."
        )
    if columns.effects:
        yield "g is Hedges' g_av, δ is Cliff's paired delta, both over the unit of the test."
    if columns.margins:
        yield "p (same): two one-sided tests against the declared margin."
    notes = {level_note(comparison.unit, seeds=comparison.sizes[1]): None for comparison in compared}
    yield from (f"{note}." for note in notes if note)


def _warnings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield each warning once, with its conditions unless it concerns all conditions."""
    conditions: dict[str, dict[str, None]] = {}
    for tested in comparisons:
        for warning in (*tested.warnings, *_far(tested)):
            conditions.setdefault(warning, {})[tested.name] = None
    all_conditions = {tested.name for tested in comparisons}
    for warning, names in conditions.items():
        prefix = "" if names.keys() == all_conditions else f"{', '.join(names)}: "
        yield f"{prefix}{warning}."


def _far(comparison: Comparison) -> Iterator[str]:
    """Yield a warning if a few seeds differ by far more than the others: then the test may not keep its level."""
    subjects = list(comparison.by_seed.values())
    if len(set(map(len, subjects))) != 1:
        return  # a trial is missing: seeds of different subjects do not stand side by side
    by_seed = [fmean(seed) for seed in zip(*subjects, strict=True)]
    far = far_seeds(by_seed)
    if far and comparison.unit != "clips":
        lowest, highest = (number(end, 4, signed=True) for end in (min(by_seed), max(by_seed)))
        yield (
            f"{far} of {counted(len(by_seed), 'seed')} differ by far more than the others (from {lowest} to "
            f"{highest}): a test of the mean may not keep its level"
        )


def _cells(comparison: Comparison, findings: Findings, columns: _Columns) -> Iterator[Cell]:
    measure = findings.tables[comparison.metric].measure
    yield Cell(comparison.name)
    yield Cell(measure.heading)
    low, high, digits = comparison.interval.low, comparison.interval.high, columns.digits[comparison.metric]
    difference = f"{number(comparison.difference, digits, signed=True)}{comparison.stars}"
    yield Cell(difference, (bracket(low, high, digits),))
    if columns.shares:
        yield _share(comparison, findings.span(comparison.metric))
    yield Cell(p_text(comparison.p).removeprefix("= "))
    if columns.declared:
        yield Cell(p_text(comparison.p_holm).removeprefix("= "))
    if columns.rates:
        yield Cell(p_text(comparison.q).removeprefix("= "))
    if columns.effects:
        effect = comparison.effect
        for size in (None, None) if effect is None else (effect.g_av, effect.cliff):
            yield Cell(DASH) if size is None else Cell(number(size.value, 2), (bracket(size.low, size.high, 2),))
    if columns.margins:
        yield _same(comparison.equivalence)
    yield Cell(f"{comparison.smallest_p:.2g}")
    yield Cell(comparison.verdict, (comparison.reason,) if comparison.reason else (), TONES[comparison.verdict])


def _same(equivalence: Equivalence | None) -> Cell:
    if equivalence is None:
        return Cell(DASH)
    p = equivalence.p if equivalence.p_holm is None else equivalence.p_holm
    return Cell(p_text(p).removeprefix("= "), (f"margin {equivalence.margin:g}",))


def _share(comparison: Comparison, span: float | None) -> Cell:
    if span is None or not math.isfinite(comparison.difference):
        return Cell(DASH)
    low, high = sorted((comparison.interval.low / span, comparison.interval.high / span))
    return Cell(number(comparison.difference / span, 2, signed=True), (bracket(low, high, 2),))
