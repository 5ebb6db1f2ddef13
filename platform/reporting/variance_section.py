"""The parts of a report about where variance comes from, and about which part of the system a metric belongs to."""

import math
from collections.abc import Iterator

from platform.analysis.findings import Findings, Pair
from platform.analysis.specificity import Specificity, specificities
from platform.analysis.variance import components_of
from platform.reporting.texts import ReportSection
from platform.reporting.words import DASH, bracket, number, p_text
from platform.study.design import BASELINE
from trainables.pages.grid import Cell, Grid

_SPECIFIC = (
    "Effects in units of the ceiling minus another clip's fMRI, positive is better. Condition x metric: the effect of "
    "the first condition minus that of the second, in the metric of the first, minus the same in the metric of the "
    "second. Below 0: each matters more for its own metric. Exploratory: not adjusted."
)
_VARIANCE = (
    "Shares of the variance of one value (one subject, seed and clip), by analysis of variance with random factors. "
    "The residual is what all factors do together. Described, not tested: with few seeds or subjects a share is rough."
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
                Cell(own, (f"other metric {crossed}",)),
                Cell(other, (f"other metric {other_crossed}",)),
                Cell(number(comparison.difference, 2, signed=True), (interval,)),
                Cell(p_text(comparison.p).removeprefix("= ")),
                Cell(_reading(each, findings.result.design.alpha)),
            )
        )
    header = ("comparisons", "first, own metric", "second, own metric", "condition x metric", "p", "reading")
    return Grid("Specificity", header, tuple(rows))


def _named(findings: Findings, pair: Pair) -> str:
    return f"{pair[0]} in {findings.tables[pair[1]].measure.title}"


def _share(findings: Findings, pair: Pair) -> str:
    span, difference = findings.span(pair[1]), findings.differences.get(pair)
    return DASH if span is None or difference is None else number(difference.value / span, 2, signed=True)


def _reading(each: Specificity, alpha: float) -> str:
    if each.comparison.p > alpha or each.comparison.difference == 0:
        return "not shown"
    return "specific" if each.comparison.difference < 0 else "the other way round"


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
    notes = (f"Estimates below 0 are given as 0 (in some rows: {', '.join(sorted(cut))}).",) if cut else ()
    return Grid("Variance components", ("of", "metric", *names), tuple(rows), notes)
