"""The parts of a report about where variance comes from, and about which part of the system a metric belongs to."""

import math
from collections.abc import Iterator

from platform.analysis.findings import Findings, Pair
from platform.analysis.specificity import Specificity, specificities
from platform.analysis.variance import components_of
from platform.reporting.texts import ReportSection
from platform.reporting.words import DASH, bracket, number, p_text
from platform.statistics.signed_p import SignedP
from platform.study.design import BASELINE
from trainables.pages.grid import Cell, Grid

_SPECIFIC = (
    "Effects in units of the ceiling minus another clip's fMRI, positive is better. Condition x metric: the effect of "
    "the first condition minus that of the second, in the metric of the first, minus the same in the metric of the "
    "second. Specific: each condition costs its own metric more than the other condition does, and both of these "
    "differences are significant alone. Unequal: the first costs more relative to the second in its own metric than in "
    "the other, but one of the two may cost more in both metrics. Exploratory: not adjusted for the number of pairs."
)
_VARIANCE = (
    "Shares of the variance of one value (one subject, seed and clip), by analysis of variance with random factors. "
    "The residual is what all factors do together, and chance. Described, not tested: with few seeds or subjects a "
    "share is rough. Shares are of what varied in this ablation: one data set has one draw of brain and noise."
)


def variance_sections(findings: Findings) -> Iterator[ReportSection]:
    """Yield the sections that the design gives rise to."""
    tested = specificities(findings)
    if tested:
        yield ReportSection("Specificity", _SPECIFIC, (_specificity_table(findings, tested),))
    grid = _variance_table(findings)
    if grid is not None:
        yield ReportSection("Variance components", _VARIANCE, (grid,), folded=True)


def _specificity_table(findings: Findings, tested: tuple[Specificity, ...]) -> Grid:
    rows = []
    for each in tested:
        own, crossed, other_crossed, other = (_share(findings, pair) for pair in each.crossed)
        comparison = each.comparison
        interval = bracket(comparison.interval.low, comparison.interval.high, 2)
        rows.append(
            (
                Cell(_named(findings, each.first), (f"against {_named(findings, each.second)}",)),
                Cell(own, (f"other metric {crossed}", _term(each.in_first))),
                Cell(other, (f"other metric {other_crossed}", _term(each.in_second))),
                Cell(number(comparison.difference, 2, signed=True), (interval,)),
                Cell(p_text(comparison.p).removeprefix("= ")),
                Cell(_reading(each, findings.result.design.alpha)),
            )
        )
    header = ("comparisons", "first, own metric", "second, own metric", "condition x metric", "p", "reading")
    return Grid("Specificity", header, tuple(rows))


def _term(comparison: SignedP) -> str:
    return f"against the other condition {number(comparison.difference, 2, signed=True)}, p {p_text(comparison.p)}"


def _named(findings: Findings, pair: Pair) -> str:
    return f"{pair[0]} in {findings.tables[pair[1]].measure.title}"


def _share(findings: Findings, pair: Pair) -> str:
    span, difference = findings.span(pair[1]), findings.differences.get(pair)
    return DASH if span is None or difference is None else number(difference.value / span, 2, signed=True)


def _reading(each: Specificity, alpha: float) -> str:
    if not each.can_be_tested(alpha):
        return "cannot be tested"
    if each.is_double(alpha):
        return "specific"
    if each.comparison.p > alpha or each.comparison.difference == 0:
        return "not shown"
    return "unequal" if each.comparison.difference < 0 else "the other way round"


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else DASH


def _variance_table(findings: Findings) -> Grid | None:
    found = list(components_of(findings))
    if not found:
        return None
    names = list(dict.fromkeys(name for each in found for name in each.components.variances))
    rows: list[tuple[Cell, ...]] = []
    cut: set[str] = set()
    for each in found:
        shares = each.components.shares
        what = "baseline" if each.condition == BASELINE else f"{each.condition}: difference"
        cut.update(each.components.negative)
        cells = (Cell(_percent(shares.get(name, math.nan))) for name in names)
        rows.append((Cell(what), Cell(each.measure.heading), *cells))
    notes = [f"Estimates below 0 are given as 0 (in some rows: {', '.join(sorted(cut))})."] if cut else []
    if absent := [name for name in _quantities(findings) if name not in {(e.condition, e.measure.name) for e in found}]:
        named = ", ".join(f"{condition} in {findings.tables[metric].measure.title}" for condition, metric in absent)
        notes.append(f"Without components, since a trial is missing or a factor has one level: {named}.")
    return Grid("Variance components", ("of", "metric", *names), tuple(rows), tuple(notes))


def _quantities(findings: Findings) -> Iterator[Pair]:
    """Yield the baseline and the declared comparisons of each primary metric."""
    for measure in findings.measures:
        yield BASELINE, measure.name
        yield from ((each.name, each.metric) for each in findings.declared if each.metric == measure.name)
