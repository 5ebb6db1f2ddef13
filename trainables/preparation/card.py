"""The data card: `card.md` and `card.html`, one content."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from trainables.datasets.errors import DataReport
from trainables.datasets.prepared.description import LagCurve
from trainables.datasets.prepared.read import PreparedSet
from trainables.pages.drawing import Drawing, scale
from trainables.pages.kit import render_template
from trainables.pages.pictures import strip_uri
from trainables.preparation.card_facts import CardFacts, card_facts

_TEMPLATE = Path(__file__).parent / "templates" / "card.html"
_PREVIEWS = 6
_SIDE, _QUALITY = 128, 70
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH, _HEIGHT = 44.0, 344.0, 34.0, 150.0, 360.0, 190.0


def write_card(data: PreparedSet, report: DataReport) -> None:
    """Write both files into the folder of the data set. `report` is the verdict on it, with what was left out."""
    card = card_facts(data, report)
    (data.folder / "card.md").write_text(_markdown(card, data), encoding="utf-8")
    (data.folder / "card.html").write_text(_page(card, data), encoding="utf-8")


def _markdown(card: CardFacts, data: PreparedSet) -> str:
    parts = [f"# {card.title}", "\n".join(f"- {name}: {text}" for name, text in card.facts)]
    parts += [_listed("Citation", card.citation), *(table.markdown().strip() for table in card.tables)]
    parts += [_lag_lines(name, curve, data.description.lag_s) for name, curve in data.description.lag_curve.items()]
    parts += [_listed(title, lines) for title, lines in _lists(card)]
    return "\n\n".join(parts) + "\n"


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)] if lines else [f"## {title}", "", "none"])


def _lists(card: CardFacts) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("What was done to the fMRI before", card.processing),
        ("Known defects", card.defects),
        ("Findings of the checks", card.findings),
    ]


def _lag_lines(name: str, curve: LagCurve, lag_s: float) -> str:
    header = (
        f"## Lag of {name}\n\nConfigured: {lag_s:g} s from onset. Correlation of the clips' motion with visual voxels:"
    )
    shifts = ", ".join(f"{s:+g} s: {r:.2f}" for s, r in zip(curve.seconds, curve.correlation, strict=True))
    return f"{header} {shifts}."


def _page(card: CardFacts, data: PreparedSet) -> str:
    curves = data.description.lag_curve.items()
    return render_template(
        _TEMPLATE,
        title=card.title,
        card=card,
        lists=_lists(card),
        curves=[draw_lag(name, curve, data.description.lag_s) for name, curve in curves],
        previews=_previews(data) if data.description.previews else [],
        strip_uri=partial(strip_uri, side=_SIDE, quality=_QUALITY),
    )


def _previews(data: PreparedSet) -> list[tuple[str, str, np.ndarray]]:
    """Return name, caption and frames of some clips, evenly chosen."""
    chosen = np.unique(np.linspace(0, len(data.clips) - 1, _PREVIEWS).round().astype(int)).tolist()
    return [(data.clips[index].clip_id, data.clips[index].caption, data.frames[index]) for index in chosen]


def draw_lag(name: str, curve: LagCurve, lag_s: float) -> Drawing:
    """Draw the correlation at each shift; a line marks the configured lag."""
    drawing = Drawing(f"Lag of {name}", _WIDTH, _HEIGHT)
    across = scale([*curve.seconds, lag_s], start=_LEFT, end=_RIGHT)
    up = scale([0.0, *curve.correlation], start=_BOTTOM, end=_TOP)
    drawing.text(_LEFT, 14, f"{name}: motion in clips and visual BOLD", "title")
    drawing.line((across(lag_s), _TOP), (across(lag_s), _BOTTOM), "zero")
    drawing.text(across(lag_s) + 4, _TOP + 8, f"lag {lag_s:g} s", "tick")
    drawing.line((_LEFT, up(0.0)), (_RIGHT, up(0.0)), "axis")
    for tick in up.ticks:
        drawing.text(_LEFT - 6, up(tick) + 4, f"{tick:.2g}", "tick", anchor="end")
    points = [(across(s), up(r)) for s, r in zip(curve.seconds, curve.correlation, strict=True)]
    for start, end in pairwise(points):
        drawing.line(start, end, "tie")
    for (x, y), seconds in zip(points, curve.seconds, strict=True):
        drawing.dot(x, y, 3, "full")
        drawing.text(x, _BOTTOM + 16, f"{seconds:g}", "tick", anchor="middle")
    drawing.text((_LEFT + _RIGHT) / 2, _HEIGHT - 6, "shift, seconds", "tick", anchor="middle")
    return drawing
