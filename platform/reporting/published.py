"""Comparison with the paper's tables: published value, measured value, and agreement in direction, size and order."""

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from platform.analysis.findings import Findings, MeanInterval, of_subject
from platform.analysis.measures import Measure, measure_named
from platform.reporting.protocol import protocol_of_trials
from platform.reporting.words import DASH, counted, decimals, number
from platform.statistics.permutation import kendall, sign_agreement
from platform.study.ablation_checks import PUBLISHED
from platform.study.design import BASELINE, Published
from trainables.metrics.registry import metric_named
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
    published_effect: float
    """The published difference to the published baseline; NaN if the table has none."""
    ours: float
    """The measured value in the table's unit; the interval has the same unit."""
    low: float
    high: float
    direction: Direction
    """Direction of the effect against the baseline. Empty for the baseline, and if the table has no effect. `unclear`
    if the measured interval of the difference includes 0."""
    within: bool | None
    """Whether the relative difference to the published value is within the declared tolerance. None if the published
    value is of other data: then sizes cannot be compared."""
    share: float | None
    """The measured difference to the baseline in units of the ceiling minus another clip's fMRI; positive is better."""
    other_data: bool

    @property
    def difference(self) -> float:
        """Measured minus published value."""
        return self.ours - self.published


@dataclass(frozen=True)
class Ranking:
    """Agreement of the order of conditions in one metric with the published order. The baseline is left out."""

    table: str
    metric: str
    conditions: int
    tau: float
    """Kendall's tau-b; its expectation for a random order is 0."""
    p: float
    """Exact one-sided p: the share of all assignments of conditions that agree at least as well."""


@dataclass(frozen=True)
class Agreement:
    """The comparison with one published table."""

    published: Published
    cells: tuple[ReproducedValue, ...]
    rankings: tuple[Ranking, ...]
    directions_p: float
    """The share of assignments of measured effects to conditions in which as many directions agree; NaN without any."""


def agreements(findings: Findings) -> tuple[Agreement, ...]:
    """Return the comparisons with all published tables in the design, for cells with a measured value."""
    compared = []
    for table in findings.result.design.published:
        cells = tuple(_cells(findings, table))
        metrics = dict.fromkeys(cell.metric for cell in cells)
        rankings = [_ranking([cell for cell in cells if cell.metric == metric]) for metric in metrics]
        kept = tuple(ranking for ranking in rankings if ranking is not None)
        compared.append(Agreement(table, cells, kept, _directions_p(cells, findings)))
    return tuple(compared)


def _directions_p(cells: Sequence[ReproducedValue], findings: Findings) -> float:
    """Return the permutation p of the agreement in direction, over all conditions and metrics of a table."""
    compared = [cell for cell in cells if cell.direction]
    if not compared:
        return math.nan
    conditions, metrics = (
        list(dict.fromkeys(getattr(cell, name) for cell in compared)) for name in ("condition", "metric")
    )
    published, ours = (np.full((len(conditions), len(metrics)), np.nan) for _ in range(2))
    for cell in compared:
        index = conditions.index(cell.condition), metrics.index(cell.metric)
        effect = findings.differences[cell.condition, cell.metric]
        ours[index] = effect.value if effect.excludes_zero else 0.0
        published[index] = cell.published_effect
    return sign_agreement(published, ours)[1]


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
            mean, effect = _measured(findings, table, (condition, metric))
            if rows[row][column] == "" or mean is None or not math.isfinite(mean.value):
                continue
            published = float(rows[row][column])
            reference = rows[mapped[BASELINE]][column] if BASELINE in mapped else ""
            span = findings.span(metric)
            near = abs(table.scale * mean.value - published) <= findings.result.design.tolerance * abs(published)
            value, low, high = (table.scale * end for end in (mean.value, mean.low, mean.high))
            yield ReproducedValue(
                table=table.table,
                condition=condition,
                metric=metric,
                row=row,
                published=published,
                published_effect=math.nan if reference == "" else published - float(reference),
                ours=value,
                low=low,
                high=high,
                direction=_direction(published, reference, effect),
                within=None if table.other_data else near,
                share=None if span is None or effect is None else effect.value / span,
                other_data=table.other_data,
            )


def _measured(
    findings: Findings, table: Published, pair: tuple[str, str]
) -> tuple[MeanInterval | None, MeanInterval | None]:
    """Return our mean and our difference to the baseline, of the table's subject or of all."""
    if table.subject is None:
        return findings.means.get(pair), findings.differences.get(pair)
    known = table.subject in findings.result.subjects and pair in findings.means
    return of_subject(findings, table.subject, pair) if known else (None, None)


def _direction(published: float, reference: str, ours: MeanInterval | None) -> Direction:
    if reference == "" or ours is None or published == float(reference):
        return ""
    if not ours.excludes_zero:
        return "unclear"
    return "agrees" if (ours.value > 0) == (published > float(reference)) else "opposite"


def _ranking(cells: Sequence[ReproducedValue]) -> Ranking | None:
    """Compare the order of conditions without the baseline in one metric; None for fewer than three conditions."""
    conditions = [cell for cell in cells if cell.condition != BASELINE]
    if len(conditions) < 3:
        return None
    published, ours = (np.array([getattr(cell, side) for cell in conditions]) for side in ("published", "ours"))
    return Ranking(conditions[0].table, conditions[0].metric, len(conditions), *kendall(published, ours))


def protocol_of(table: str) -> str:
    """Return the id of the protocol by which the videos of a published table were judged; empty if it judges none."""
    protocols: dict[str, str] = json.loads((PUBLISHED / "protocols.json").read_text(encoding="utf-8"))
    return protocols.get(table, "")


def published_table(agreement: Agreement, findings: Findings) -> Grid:
    """Return the comparison with one published table: one row per condition, one column per metric."""
    table = agreement.published
    metrics = [measure_named(name) for name in dict.fromkeys(cell.metric for cell in agreement.cells)]
    cells = {(cell.condition, cell.metric): cell for cell in agreement.cells}
    protocol, ours, rows = protocol_of(table.table), protocol_of_trials(findings.result), []
    differs = protocol not in ("", ours)
    for condition in dict.fromkeys(cell.condition for cell in agreement.cells):
        row = next(cell.row for cell in agreement.cells if cell.condition == condition)
        is_same_name = row.replace("_", " ") == condition.replace("_", " ")
        published_as = () if is_same_name else (f"published as {row}",)
        of_row = [cells.get((condition, metric.name)) for metric in metrics]
        rows.append((Cell(condition, (*published_as, *((f"by {ours}",) if protocol else ()))), *map(_cell, of_row)))
        source = Cell("published", ((f"by {protocol}",) if protocol else ()), "quiet" if differs else "")
        rows.append((source, *(_published_cell(cell, is_grey=differs) for cell in of_row)))
    rows += _only_published(table, [metric.name for metric in metrics], protocol=protocol, is_grey=differs)
    if agreement.rankings:
        ranks = {ranking.metric: ranking for ranking in agreement.rankings}
        rows.append((Cell("order of conditions"), *(_rank_cell(ranks.get(metric.name)) for metric in metrics)))
    name_of_table = re.sub(r"^table(\d)", r"Table \1", table.table.removesuffix(".csv")).replace("_", " ")
    name_of_table = re.sub(r"^fig(\d)", r"Figure \1", name_of_table)
    part = f", {', '.join(table.where.values())}" if table.where else ""
    title = f"Comparison with published {name_of_table}{part}"
    if table.other_data:
        title += f" ({OTHER_DATA})"
    if protocol:
        title += f", protocol {protocol}; ours: {ours}"
    header = ("condition", *(_heading(metric, table.scale) for metric in metrics))
    return Grid(title, header, tuple(rows), tuple(_notes(agreement, findings)))


def _only_published(
    table: Published, metrics: Sequence[str], *, protocol: str, is_grey: bool
) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of the table that no condition here corresponds to."""
    labelled = _published_rows(table) if table.rows else {}
    tone: Tone = "quiet" if is_grey else ""
    for label in table.rows:
        values = (labelled[label][table.columns[name]] for name in metrics)
        source = ("published, not run here", *((f"by {protocol}",) if protocol else ()))
        yield (Cell(label, source, tone), *(Cell(value or DASH, tone=tone) for value in values))


def _heading(metric: Measure, scale: float) -> str:
    return metric.heading if scale == 1 else f"{metric.heading} × {scale:g}"


def _cell(cell: ReproducedValue | None) -> Cell:
    if cell is None:
        return Cell(DASH, tone="quiet")
    digits = decimals(cell.low, cell.high, of=cell.ours)
    small = []
    if cell.within is not None:
        size = f"size {'within' if cell.within else 'outside'}"
        small += [f"Δ {number(cell.difference, digits, signed=True)}", size]
    if cell.direction:
        share = f", {number(cell.share, 2, signed=True)} of the range" if cell.share is not None else ""
        small.append(f"effect {cell.direction}{share}")
    return Cell(number(cell.ours, digits), tuple(small), _TONES.get(cell.direction, ""))


def _published_cell(cell: ReproducedValue | None, *, is_grey: bool) -> Cell:
    if cell is None:
        return Cell(DASH, tone="quiet")
    return Cell(f"{cell.published:g}", tone="quiet" if is_grey else "")


def _rank_cell(ranking: Ranking | None) -> Cell:
    return Cell(DASH) if ranking is None else Cell(f"τ {number(ranking.tau, 2)}", (f"p = {ranking.p:.2g}",))


def _notes(agreement: Agreement, findings: Findings) -> Iterator[str]:
    if agreement.published.other_data:
        yield (
            "The published values were measured on other data (other films and subjects). Their sizes are expected to "
            "differ; only directions and orders can be compared."
        )
    protocol, ours = protocol_of(agreement.published.table), protocol_of_trials(findings.result)
    if protocol not in ("", ours):
        yield (
            f"Grey: published by protocol {protocol}, ours by {ours}. Sizes of values of two protocols are not "
            "comparable, also on the same data."
        )
    below = _below_chance(agreement)
    if below:
        yield f"Published values below chance: {'; '.join(below)}."
    cells = agreement.cells
    directions: list[Direction] = [cell.direction for cell in cells if cell.direction]
    if directions:
        counts = ", ".join(f"{directions.count(name)} {text}" for name, text in _DIRECTIONS.items())
        total = counted(len(directions), "cell")
        yield (
            f"Direction of the effect, {total}: {counts} (the measured interval of the difference includes 0). If our "
            "rows are assigned to the paper's conditions in every other way, as many or more directions agree in "
            f"{agreement.directions_p:.0%} of the assignments."
        )
    if any(cell.share is not None and cell.direction for cell in cells):
        yield (
            "Of the range: the measured difference in units of the ceiling minus another clip's fMRI; positive is "
            "better."
        )
    if not agreement.published.other_data:
        within = sum(cell.within is True for cell in cells)
        share = findings.result.design.tolerance
        size = f"{within} of {len(cells)} are within the declared {share:.0%} of the published value"
        yield f"Size: {size} (“within”). Δ is the measured minus the published value."
    if agreement.rankings:
        conditions = agreement.rankings[0].conditions
        yield (
            "Order of conditions without the baseline: Kendall's τ, whose chance level is 0; p is the exact share of "
            f"all orders that agree as well. With {conditions} conditions, perfect agreement has p = "
            f"{1 / math.factorial(conditions):.2g}."
        )


def _below_chance(agreement: Agreement) -> list[str]:
    """Return the published values of the table that are worse than those of a decoder without information."""
    table, rows = agreement.published, _published_rows(agreement.published)
    shown = dict.fromkeys((*table.conditions.values(), *table.rows))
    found = []
    for name in dict.fromkeys(cell.metric for cell in agreement.cells):
        metric = metric_named(name)
        if metric is None or metric.chance is None or metric.goal != "max":
            continue
        values = {label: rows[label][table.columns[name]] for label in shown}
        worse = [
            f"{label} {text}" for label, text in values.items() if text and float(text) / table.scale < metric.chance
        ]
        found += [f"{metric.title} (chance {metric.chance:g}): {', '.join(worse)}"] if worse else []
    return found


_DIRECTIONS: dict[Direction, str] = {
    "agrees": "agree with the paper",
    "opposite": "are opposite",
    "unclear": "are unclear",
}
