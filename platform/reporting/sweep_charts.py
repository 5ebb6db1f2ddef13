"""The figures of a sweep's report: its history with controls, and the importance of fields."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from platform.record.results import Result, best_so_far, controls
from platform.reporting.sweep_findings import SweepFindings
from platform.reporting.words import number
from trainables.metrics.metric import Metric
from trainables.pages.drawing import Drawing, Scale, scale

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 300, 64, 540, 52, 262
_BAR = 24


def history(findings: SweepFindings, target: Metric) -> Drawing | None:
    """Return the values of all points in the order of their ends, and the best so far; None without a value.

    Ring: stopped early, at its last value. Dashed: the controls of the best point.
    """
    points = sorted((p for p in findings.search.points if p.outcome is not None), key=lambda p: (p.finished, p.trial))
    if not any(point.value(target) is not None for point in points):
        return None
    levels = controls(findings.order[0], target) if findings.order else {}
    across = Scale(0.5, len(points) + 0.5, _LEFT, _RIGHT)
    up = scale([*_values(points, target), *levels.values()], start=_BOTTOM, end=_TOP)
    drawing = Drawing(f"History of {target.title}", _WIDTH, _HEIGHT)
    drawing.text(8, 15, f"{target.label} {target.arrow}", "title")
    drawing.text(8, 31, "each point as it ended (ring: stopped early) and the best so far; dashed: controls", "under")
    _axes(drawing, across, up, count=len(points))
    for name, level in levels.items():
        drawing.line((_LEFT, up(level)), (_RIGHT, up(level)), "zero")
        drawing.text(_RIGHT, up(level) - 4, name, "tick", anchor="end")
    _best_line(drawing, findings, target, across, up)
    for place, point in enumerate(points, start=1):
        value = point.metrics.get(target.name)
        if value is not None and point.outcome in ("COMPLETED", "PRUNED"):
            style = "full same" if point.outcome == "COMPLETED" else "hollow"
            drawing.dot(across(place), up(value), 4 if point.outcome == "COMPLETED" else 3, style)
    return drawing


def _values(points: Sequence[Result], target: Metric) -> list[float]:
    """Return the values that the axis covers: those of completed points."""
    return [value for point in points if (value := point.value(target)) is not None]


def _axes(drawing: Drawing, across: Scale, up: Scale, *, count: int) -> None:
    drawing.line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis")
    for tick in up.ticks:
        drawing.line((_LEFT - 4, up(tick)), (_LEFT, up(tick)), "axis")
        drawing.text(_LEFT - 8, up(tick) + 4, f"{tick:.4g}", "tick", anchor="end")
    for place in sorted({1, count, *(round(tick) for tick in across.ticks if 1 <= tick <= count)}):
        drawing.text(across(place), _BOTTOM + 16, str(place), "tick", anchor="middle")
    drawing.text((_LEFT + _RIGHT) / 2, _BOTTOM + 32, "points ended", "under", anchor="middle")


def _best_line(drawing: Drawing, findings: SweepFindings, target: Metric, across: Scale, up: Scale) -> None:
    points, constraints = findings.search.points, findings.search.study.outcome_constraints
    series = [(count, value) for count, _, value in best_so_far(points, target, constraints)]
    for (start, value), (end, following) in pairwise(series):
        drawing.line((across(start), up(value)), (across(end), up(value)), "bar better")
        drawing.line((across(end), up(value)), (across(end), up(following)), "bar better")


def importance(shares: Mapping[str, float], target: Metric, *, null: float, subtitle: str) -> Drawing | None:
    """Return the share of each field in the importance as bars; None if there are no shares.

    Dashed: the null line, up to which shuffled values reach.
    """
    if not shares:
        return None
    drawing = Drawing(f"Importance for {target.title}", _WIDTH)
    drawing.text(8, 15, f"Importance for {target.label}", "title")
    drawing.text(8, 31, subtitle, "under")
    axis = Scale(0.0, 1.0, 230, 490)
    for row, (name, share) in enumerate(shares.items()):
        top = 46 + _BAR * row
        drawing.text(222, top + 11, name, "label", anchor="end")
        drawing.box((axis(0), top + 2), (axis(share) - axis(0), 11), "found")
        drawing.text(axis(share) + 6, top + 12, number(share, 2), "tick")
    bottom = 46 + _BAR * len(shares)
    line = axis(min(null, 1.0))  # at the end of the axis, no field can pass it
    drawing.line((line, 42), (line, bottom), "zero")
    drawing.text(line, bottom + 12, f"null line {number(null, 2)}", "tick", anchor="middle")
    drawing.height = bottom + 20
    return drawing
