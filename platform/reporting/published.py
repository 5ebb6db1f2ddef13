"""Comparison with the paper's tables: published value, measured value, and agreement in direction, size and order."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from platform.analysis.findings import Findings, MeanInterval
from platform.analysis.measures import Measure, measure_named
from platform.reporting.words import DASH, counted, decimals, number
from platform.study.ablation_checks import PUBLISHED
from platform.study.design import BASELINE, Published
from trainables.pages.grid import Cell, Grid, Tone

Direction = Literal["", "agrees", "opposite", "unclear"]
_TONES: dict[Direction, Tone] = {"agrees": "agrees", "opposite": "opposite"}
OTHER_DATA = "other data"


@dataclass(frozen=True)
class ReproducedValue:
    """A published value and the value measured here."""

    table: str
    condition: str
    metric: str
    row: str
    published: float
    ours: float
    """The measured value in the table's unit; the interval has the same unit."""
    low: float
    high: float
    direction: Direction
    """Direction of the effect against the baseline. Empty for the baseline, and if the table has no effect. `unclear`
    if the measured interval of the difference includes 0."""
    within: bool
    """Whether the relative difference to the published value is within the declared tolerance."""
    other_data: bool

    @property
    def difference(self) -> float:
        """Measured minus published value."""
        return self.ours - self.published


@dataclass(frozen=True)
class Ranking:
    """Agreement of the order of conditions in one metric with the published order."""

    table: str
    metric: str
    conditions: int
    tau: float
    """Kendall's tau-b; its expectation for a random order is 0."""
    p: float
    """One-sided p: the probability that a random order agrees at least as well."""


@dataclass(frozen=True)
class Agreement:
    """The comparison with one published table."""

    published: Published
    cells: tuple[ReproducedValue, ...]
    rankings: tuple[Ranking, ...]


def agreements(findings: Findings) -> tuple[Agreement, ...]:
    """Return the comparisons with all published tables in the design, for cells with a measured value."""
    compared = []
    for table in findings.result.design.published:
        cells = tuple(_cells(findings, table))
        metrics = dict.fromkeys(cell.metric for cell in cells)
        rankings = [_ranking([cell for cell in cells if cell.metric == metric]) for metric in metrics]
        compared.append(Agreement(table, cells, tuple(ranking for ranking in rankings if ranking is not None)))
    return tuple(compared)


def _published_rows(table: Published) -> dict[str, dict[str, str]]:
    """Return the rows of a published table by their label."""
    with (PUBLISHED / table.table).open(encoding="utf-8", newline="") as file:
        lines = [row for row in csv.DictReader(file) if all(row[name] == text for name, text in table.where.items())]
    key = table.key if table.key is not None else next(iter(lines[0]))
    return {line[key]: line for line in lines}


def _cells(findings: Findings, table: Published) -> Iterator[ReproducedValue]:
    rows = _published_rows(table)
    cells = findings.result.design.factorial.cells if findings.result.design.factorial is not None else {}
    mapped = {cells.get(condition, condition): row_label for condition, row_label in table.conditions.items()}
    # In the order of the table, since JSON records sort keys.
    header = list(next(iter(rows.values())))
    columns = sorted(table.columns.items(), key=lambda item: header.index(item[1]))
    for condition, row in sorted(mapped.items(), key=lambda item: list(rows).index(item[1])):
        for metric, column in columns:
            mean = findings.means.get((condition, metric))
            if rows[row][column] == "" or mean is None or not math.isfinite(mean.value):
                continue
            published = float(rows[row][column])
            reference = rows[mapped[BASELINE]][column] if BASELINE in mapped else ""
            value, low, high = (table.scale * end for end in (mean.value, mean.low, mean.high))
            yield ReproducedValue(
                table=table.table,
                condition=condition,
                metric=metric,
                row=row,
                published=published,
                ours=value,
                low=low,
                high=high,
                direction=_direction(published, reference, findings.differences.get((condition, metric))),
                within=abs(value - published) <= findings.result.design.tolerance * abs(published),
                other_data=table.other_data,
            )


def _direction(published: float, reference: str, ours: MeanInterval | None) -> Direction:
    if reference == "" or ours is None or published == float(reference):
        return ""
    if not ours.excludes_zero:
        return "unclear"
    return "agrees" if (ours.value > 0) == (published > float(reference)) else "opposite"


def _ranking(cells: Sequence[ReproducedValue]) -> Ranking | None:
    """Compare the order of conditions in one metric; None for fewer than three conditions."""
    if len(cells) < 3:
        return None
    test = stats.kendalltau([cell.published for cell in cells], [cell.ours for cell in cells], alternative="greater")
    return Ranking(cells[0].table, cells[0].metric, len(cells), float(test.statistic), float(test.pvalue))


def published_table(agreement: Agreement, findings: Findings) -> Grid:
    """Return the comparison with one published table: one row per condition, one column per metric."""
    table = agreement.published
    metrics = [measure_named(name) for name in dict.fromkeys(cell.metric for cell in agreement.cells)]
    cells = {(cell.condition, cell.metric): cell for cell in agreement.cells}
    rows = []
    for condition in dict.fromkeys(cell.condition for cell in agreement.cells):
        row = next(cell.row for cell in agreement.cells if cell.condition == condition)
        is_same_name = row.replace("_", " ") == condition.replace("_", " ")
        name = Cell(condition, () if is_same_name else (f"published as {row}",))
        rows.append((name, *(_cell(cells.get((condition, metric.name))) for metric in metrics)))
    if agreement.rankings:
        ranks = {ranking.metric: ranking for ranking in agreement.rankings}
        rows.append((Cell("order of conditions"), *(_rank_cell(ranks.get(metric.name)) for metric in metrics)))
    name_of_table = re.sub(r"^table(\d)", r"Table \1", table.table.removesuffix(".csv")).replace("_", " ")
    name_of_table = re.sub(r"^fig(\d)", r"Figure \1", name_of_table)
    part = f", {', '.join(table.where.values())}" if table.where else ""
    title = f"Comparison with published {name_of_table}{part}"
    if table.other_data:
        title += f" ({OTHER_DATA})"
    header = ("condition", *(_heading(metric, table.scale) for metric in metrics))
    return Grid(title, header, tuple(rows), tuple(_notes(agreement, findings)))


def _heading(metric: Measure, scale: float) -> str:
    return metric.heading if scale == 1 else f"{metric.heading} × {scale:g}"


def _cell(cell: ReproducedValue | None) -> Cell:
    if cell is None:
        return Cell(DASH, tone="quiet")
    digits = decimals(cell.low, cell.high, of=cell.ours)
    small = [f"published {cell.published:g}", f"Δ {number(cell.difference, digits, signed=True)}"]
    size = f"size {'within' if cell.within else 'outside'}"
    small.append(f"effect {cell.direction}; {size}" if cell.direction else size)
    return Cell(number(cell.ours, digits), tuple(small), _TONES.get(cell.direction, ""))


def _rank_cell(ranking: Ranking | None) -> Cell:
    return Cell(DASH) if ranking is None else Cell(f"τ {number(ranking.tau, 2)}", (f"p = {ranking.p:.2g}",))


def _notes(agreement: Agreement, findings: Findings) -> Iterator[str]:
    if agreement.published.other_data:
        yield (
            "The published values were measured on other data (other films and subjects). Their sizes are expected to "
            "differ; only directions and orders can be compared."
        )
    cells = agreement.cells
    directions: list[Direction] = [cell.direction for cell in cells if cell.direction]
    if directions:
        counts = ", ".join(f"{directions.count(name)} {text}" for name, text in _DIRECTIONS.items())
        total = counted(len(directions), "cell")
        yield f"Direction of the effect, {total}: {counts} (the measured interval of the difference includes 0)."
    share = findings.result.design.tolerance
    within = sum(cell.within for cell in cells)
    size = f"{within} of {len(cells)} are within the declared {share:.0%} of the published value"
    yield f"Size: {size} (“within”). Δ is the measured minus the published value."
    if agreement.rankings:
        yield (
            "Order of conditions: Kendall's τ, whose chance level is 0; p is the probability that a random order "
            f"agrees as well. With {agreement.rankings[0].conditions} conditions, perfect agreement has p = "
            f"{1 / math.factorial(agreement.rankings[0].conditions):.2g}."
        )


_DIRECTIONS: dict[Direction, str] = {
    "agrees": "agree with the paper",
    "opposite": "are opposite",
    "unclear": "are unclear",
}
