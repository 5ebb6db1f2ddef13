"""The page of judged videos: a table of scores with all controls, and film strips of some clips."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from trainables.judging.controls import label_of
from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.metric import Metric, notes
from trainables.pages.exhibits import ExhibitSection
from trainables.pages.grid import Cell, Grid
from trainables.pages.kit import render_template
from trainables.pages.pictures import strip_uri

_TEMPLATE = Path(__file__).parent / "templates" / "trial.html"
_NOTES = (
    "Means over clips with 95% BCa bootstrap intervals over clips.",
    *notes(CLIP_METRICS.values()),
    "No formula gives the chance level of the other metrics: their controls show it.",
)
_OWN = 2
"""Column of the first system, which the others are compared with."""


def videos_page(
    title: str, facts: Sequence[tuple[str, str]], sections: Sequence[ExhibitSection], *, side: int, quality: int
) -> str:
    """Return the page. `side` (pixels) and `quality` (WebP, 0 to 100) of the clips determine its size in bytes."""
    strip = partial(strip_uri, side=side, quality=quality)
    return render_template(
        _TEMPLATE,
        title=title,
        facts=facts,
        sections=sections,
        score_grid=score_grid,
        label_of=label_of,
        strip_uri=strip,
    )


def score_grid(section: ExhibitSection) -> Grid:
    """Return a table with the metrics of `section` as rows and its systems and controls as columns."""
    first, *_ = section.systems
    note = f"▲ better and ▼ worse than {label_of(first)}: their intervals do not touch."
    return Grid(
        f"Metrics: {section.title}",
        ("Metric", "Chance", *map(label_of, section.systems)),
        tuple(tuple(_cells(section, metric)) for metric in section.metrics),
        (*_NOTES, note),
        own=_OWN,
    )


def _cells(section: ExhibitSection, metric: Metric) -> Iterator[Cell]:
    rows = {row.system: row for row in section.rows if row.metric == metric.short}
    first = rows.get(next(iter(section.systems)))
    yield Cell(f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}", hint=metric.source)
    yield Cell(metric.chance_text if metric.chance_text else "–")
    for name in section.systems:
        yield _score(rows.get(name), first, metric)


def _score(row: ScoreRow | None, first: ScoreRow | None, metric: Metric) -> Cell:
    if row is None or row.mean is None:
        return Cell("undefined")
    low, high, digits = row.low, row.high, 3 if abs(row.mean) < 10 else 1
    interval = (f"{low:.{digits}f} to {high:.{digits}f}",) if low is not None and high is not None else ()
    verdict = verdict_on(row, first, metric)
    return Cell(f"{row.mean:.{digits}f}", interval, verdict if verdict is not None else "")


def verdict_on(row: ScoreRow, first: ScoreRow | None, metric: Metric) -> Literal["better", "worse"] | None:
    """Return `better` or `worse` if the intervals of `row` and of the first column do not touch, else None."""
    if first is None or first.low is None or first.high is None or row.low is None or row.high is None:
        return None
    if row.low > first.high:
        return "better" if metric.goal == "max" else "worse"
    if row.high < first.low:
        return "worse" if metric.goal == "max" else "better"
    return None
