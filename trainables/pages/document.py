"""The page of judged videos: a table of scores with all controls, and film strips of some clips."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from trainables.judging.controls import label_of
from trainables.judging.paired_marks import LEVEL, few_clips_note
from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.metric import Metric, notes
from trainables.pages.drawing import Drawing
from trainables.pages.exhibits import ExhibitSection
from trainables.pages.grid import Cell, Grid, Tone
from trainables.pages.kit import render_template
from trainables.pages.pictures import strip_uri

_TEMPLATE = Path(__file__).parent / "templates" / "trial.html"
_NOTES = (
    *notes(CLIP_METRICS.values()),
    "No formula gives the chance level of the other metrics: their controls show it.",
)
_OWN = 2
"""Column of the first system, which the others are compared with."""


def videos_page(
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[ExhibitSection],
    *,
    side: int,
    quality: int,
    panels: Sequence[Drawing] = (),
) -> str:
    """Return the page. `side` (pixels) and `quality` (WebP, 0 to 100) of the clips determine its size in bytes.

    `panels` are drawings of the subject's voxels; without any, the page has no section on them.
    """
    strip = partial(strip_uri, side=side, quality=quality)
    return render_template(
        _TEMPLATE,
        title=title,
        facts=facts,
        sections=sections,
        score_grid=score_grid,
        label_of=label_of,
        strip_uri=strip,
        panels=panels,
    )


def score_grid(section: ExhibitSection) -> Grid:
    """Return a table with the metrics of `section` as rows and its systems and controls as columns."""
    first, *_ = section.systems
    count, unit = section.units
    intervals = "Means over clips with 95% BCa bootstrap intervals over clips."
    if unit != "clip":
        intervals = (
            f"Means over {section.clips} clips with 95% BCa bootstrap intervals over {count} {unit}s: clips of one "
            f"{unit} are alike, so they count as one. Fewer than three {unit}s give no interval."
        )
    note = (
        f"▲ better and ▼ worse than {label_of(first)}: paired t test over {unit}s, adjusted by Holm's method for all "
        f"comparisons of the table, p ≤ {LEVEL:g}. It holds for these trained networks."
    )
    return Grid(
        f"Metrics: {section.title}",
        ("Metric", "Chance", *map(label_of, section.systems)),
        tuple(tuple(_cells(section, metric)) for metric in section.metrics),
        tuple(filter(None, (intervals, *_NOTES, few_clips_note(count, unit=unit), note))),
        own=_OWN,
    )


def _cells(section: ExhibitSection, metric: Metric) -> Iterator[Cell]:
    rows = {row.system: row for row in section.rows if row.metric == metric.short}
    yield Cell(f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}", hint=metric.source)
    yield Cell(metric.chance_text if metric.chance_text else "–")
    for name in section.systems:
        yield _score(rows.get(name), section.marks.get((name, metric.short), ""))


def _score(row: ScoreRow | None, tone: Tone) -> Cell:
    if row is None or row.mean is None:
        return Cell("undefined")
    low, high, digits = row.low, row.high, 3 if abs(row.mean) < 10 else 1
    interval = (f"{low:.{digits}f} to {high:.{digits}f}",) if low is not None and high is not None else ()
    return Cell(f"{row.mean:.{digits}f}", interval, tone)
