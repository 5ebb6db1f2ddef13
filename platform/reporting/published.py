"""The paper's tables beside ours: published value, our value, and whether they agree in direction, size and order."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from platform.analysis.findings import Estimated, Findings
from platform.analysis.measures import Measure, measure
from platform.reporting.words import DASH, counted, decimals, number
from platform.study.ablation_checks import PUBLISHED
from platform.study.design import BASELINE, Published
from trainables.pages.grid import Cell, Grid, Tone

Direction = Literal["", "agrees", "opposite", "unclear"]
_TONES: dict[Direction, Tone] = {"agrees": "agrees", "opposite": "opposite"}
OTHER_DATA = "other data"


@dataclass(frozen=True)
class Beside:
    """One cell of a published table and ours."""

    table: str
    condition: str
    metric: str
    row: str
    published: float
    ours: float
    """In the table's unit, like the interval."""
    low: float
    high: float
    direction: Direction
    """Of the effect against the baseline; empty for the baseline itself and where the table has no effect. `unclear`
    where our interval of the difference holds 0."""
    within: bool
    """Whether ours misses the published number by at most the declared share of it."""
    other_data: bool

    @property
    def difference(self) -> float:
        """Ours minus published."""
        return self.ours - self.published


@dataclass(frozen=True)
class Ranking:
    """Whether conditions stand in the published order of one metric."""

    table: str
    metric: str
    conditions: int
    tau: float
    """Kendall's tau-b; by chance 0 on average."""
    p: float
    """One-sided: the chance that a random order agrees at least as well."""


@dataclass(frozen=True)
class Agreement:
    """One published table beside our values."""

    published: Published
    cells: tuple[Beside, ...]
    rankings: tuple[Ranking, ...]


def agreements(findings: Findings) -> tuple[Agreement, ...]:
    """Return every published table that the design names, as far as there are values of ours."""
    found = []
    for table in findings.result.design.published:
        cells = tuple(_cells(findings, table))
        metrics = dict.fromkeys(cell.metric for cell in cells)
        rankings = [_ranking([cell for cell in cells if cell.metric == metric]) for metric in metrics]
        found.append(Agreement(table, cells, tuple(one for one in rankings if one is not None)))
    return tuple(found)


def _cells(findings: Findings, table: Published) -> Iterator[Beside]:
    with (PUBLISHED / table.table).open(encoding="utf-8", newline="") as file:
        lines = [row for row in csv.DictReader(file) if all(row[name] == text for name, text in table.where.items())]
    key = table.key if table.key is not None else next(iter(lines[0]))
    rows = {line[key]: line for line in lines}
    cells = findings.result.design.factorial.cells if findings.result.design.factorial is not None else {}
    mapped = {cells.get(ours, ours): theirs for ours, theirs in table.conditions.items()}
    # In the table's own order: records keep no order of keys.
    header = list(lines[0])
    columns = sorted(table.columns.items(), key=lambda item: header.index(item[1]))
    for condition, row in sorted(mapped.items(), key=lambda item: list(rows).index(item[1])):
        for metric, column in columns:
            mean = findings.means.get((condition, metric))
            if rows[row][column] == "" or mean is None or not math.isfinite(mean.value):
                continue
            published = float(rows[row][column])
            reference = rows[mapped[BASELINE]][column] if BASELINE in mapped else ""
            ours, low, high = (table.scale * end for end in (mean.value, mean.low, mean.high))
            yield Beside(
                table=table.table,
                condition=condition,
                metric=metric,
                row=row,
                published=published,
                ours=ours,
                low=low,
                high=high,
                direction=_direction(published, reference, findings.differences.get((condition, metric))),
                within=abs(ours - published) <= findings.result.design.tolerance * abs(published),
                other_data=table.other_data,
            )


def _direction(published: float, reference: str, ours: Estimated | None) -> Direction:
    if reference == "" or ours is None or published == float(reference):
        return ""
    if not ours.excludes_zero:
        return "unclear"
    return "agrees" if (ours.value > 0) == (published > float(reference)) else "opposite"


def _ranking(cells: Sequence[Beside]) -> Ranking | None:
    """Compare the order of conditions in one metric; None where there are fewer than three."""
    if len(cells) < 3:
        return None
    found = stats.kendalltau([cell.published for cell in cells], [cell.ours for cell in cells], alternative="greater")
    return Ranking(cells[0].table, cells[0].metric, len(cells), float(found.statistic), float(found.pvalue))


def published_table(agreement: Agreement, findings: Findings) -> Grid:
    """Lay one published table beside ours: a row per condition, a column per metric."""
    table = agreement.published
    metrics = [measure(name) for name in dict.fromkeys(cell.metric for cell in agreement.cells)]
    beside = {(cell.condition, cell.metric): cell for cell in agreement.cells}
    rows = []
    for condition in dict.fromkeys(cell.condition for cell in agreement.cells):
        row = next(cell.row for cell in agreement.cells if cell.condition == condition)
        same = row.replace("_", " ") == condition.replace("_", " ")
        name = Cell(condition, () if same else (f"published as {row}",))
        rows.append((name, *(_cell(beside.get((condition, one.name))) for one in metrics)))
    if agreement.rankings:
        ranks = {one.metric: one for one in agreement.rankings}
        rows.append((Cell("order of conditions"), *(_rank_cell(ranks.get(one.name)) for one in metrics)))
    name_of_table = re.sub(r"^table(\d)", r"Table \1", table.table.removesuffix(".csv")).replace("_", " ")
    name_of_table = re.sub(r"^fig(\d)", r"Figure \1", name_of_table)
    part = f", {', '.join(table.where.values())}" if table.where else ""
    title = f"Published {name_of_table}{part} beside ours"
    if table.other_data:
        title += f" ({OTHER_DATA})"
    header = ("condition", *(_heading(one, table.scale) for one in metrics))
    return Grid(title, header, tuple(rows), tuple(_notes(agreement, findings)))


def _heading(one: Measure, scale: float) -> str:
    return one.heading if scale == 1 else f"{one.heading} × {scale:g}"


def _cell(one: Beside | None) -> Cell:
    if one is None:
        return Cell(DASH, tone="quiet")
    places = decimals(one.low, one.high, of=one.ours)
    small = [f"published {one.published:g}", f"Δ {number(one.difference, places, signed=True)}"]
    size = f"size {'within' if one.within else 'outside'}"
    small.append(f"effect {one.direction}; {size}" if one.direction else size)
    return Cell(number(one.ours, places), tuple(small), _TONES.get(one.direction, ""))


def _rank_cell(one: Ranking | None) -> Cell:
    return Cell(DASH) if one is None else Cell(f"τ {number(one.tau, 2)}", (f"p = {one.p:.2g}",))


def _notes(agreement: Agreement, findings: Findings) -> Iterator[str]:
    if agreement.published.other_data:
        yield (
            "The published numbers were measured on other data (other films, other people) than ours: that sizes "
            "differ is to be expected; direction and order are what can be compared."
        )
    cells = agreement.cells
    told: list[Direction] = [cell.direction for cell in cells if cell.direction]
    if told:
        words = ", ".join(f"{told.count(name)} {text}" for name, text in _DIRECTIONS.items())
        cells_told = counted(len(told), "cell")
        yield f"Direction of the effect, {cells_told}: {words} (our interval of the difference holds 0)."
    share = findings.result.design.tolerance
    within = sum(cell.within for cell in cells)
    size = f"{within} of {len(cells)} lie within the declared {share:.0%} of the published number"
    yield f"Size: {size} (“within”). Δ is ours minus the published one."
    if agreement.rankings:
        yield (
            "Order of conditions: Kendall's τ, 0 on average by chance; p is how often a random order agrees as well. "
            f"Of {agreement.rankings[0].conditions} conditions, perfect agreement has p = "
            f"{1 / math.factorial(agreement.rankings[0].conditions):.2g}."
        )


_DIRECTIONS: dict[Direction, str] = {
    "agrees": "agree with the paper",
    "opposite": "are opposite",
    "unclear": "are unclear",
}
