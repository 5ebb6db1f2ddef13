"""The figures: effects as a forest, seeds as pairs of dots, subjects by themselves, and regions of the brain.

Each figure is a set of panels of one width, which a page lays out side by side or below each other.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform.analysis.findings import Findings, by_seed
from platform.analysis.measures import Measure
from platform.analysis.per_clip import Floats
from platform.analysis.voxel_importance import RegionMap, bars
from platform.reporting.embedding import EmbeddingMap
from platform.reporting.tables import TONES
from platform.reporting.words import bracket, decimals, number
from trainables.pages.drawing import Drawing, Scale, scale

WIDTH = 372
CHART_ROWS = 40
"""Most rows of a panel; all of them stand in the tables."""
_LEFT, _RIGHT, _HEAD, _ROW, _FOOT = 8, 364, 46, 36, 22
_LINE = 14
"""Height that a row needs more where label and figures must stand below each other."""
_LETTER = 6.4
"""Mean width of a letter in both: there is no font here to measure it with."""
_PAIR = 6
"""Height of a pair of dots."""
PAIRS = 24
"""Most pairs of dots of a condition."""


@dataclass(frozen=True)
class _Effect:
    label: str
    value: float
    low: float
    high: float
    tone: str
    filled: bool
    mark: str = ""
    dots: tuple[float, ...] = ()

    @property
    def figures(self) -> str:
        """The difference with its interval."""
        places = decimals(self.low, self.high, of=self.value)
        return f"{number(self.value, places, signed=True)} {bracket(self.low, self.high, places)}{self.mark}"

    @property
    def fits(self) -> bool:
        """Whether label and figures find room beside each other."""
        return _LETTER * (len(self.label) + len(self.figures) + 2) <= _RIGHT - _LEFT


def figures(
    findings: Findings, maps: Sequence[RegionMap], embedded: Sequence[EmbeddingMap]
) -> Mapping[str, list[Drawing]]:
    """Return every figure that there is something for: name to panels."""
    several = len(findings.result.subjects) > 1
    made = {
        "effects": [_forest("Effects", one, list(_effects(findings, one)), findings) for one in findings.measures],
        "seeds": [_pairs(findings, one) for one in findings.measures],
        "subjects": [_forest("Subjects", one, list(_by_subject(findings, one)), findings) for one in findings.measures]
        if several
        else [],
        "importance": [_regions(one) for one in maps],
        "embedding": [_scatter(one) for one in embedded],
    }
    return {name: kept for name, panels in made.items() if (kept := [panel for panel in panels if panel.height > 0])}


def _effects(findings: Findings, one: Measure) -> Iterator[_Effect]:
    for condition in findings.conditions:
        tested = findings.comparisons[condition, one.name]
        if math.isfinite(tested.difference):
            yield _Effect(
                condition,
                tested.difference,
                tested.interval.low,
                tested.interval.high,
                TONES[tested.verdict],
                findings.is_declared((condition, one.name)),
                tested.stars,
                tuple(value for values in tested.by_seed.values() for value in values),
            )


def _by_subject(findings: Findings, one: Measure) -> Iterator[_Effect]:
    for condition in findings.conditions:
        for index, subject in enumerate(findings.result.subjects):
            found = findings.subjects[condition, one.name][index]
            if math.isfinite(found.value):
                tone = one.sense(found.value) if found.excludes_zero else ""
                yield _Effect(f"{condition}, subject {subject}", found.value, found.low, found.high, tone, False)


def _forest(title: str, one: Measure, effects: Sequence[_Effect], findings: Findings) -> Drawing:
    drawing = Drawing(f"{title} in {one.title}", WIDTH)
    if not effects:
        return drawing
    shown = effects[:CHART_ROWS]
    margin = findings.result.design.margins.get(one.name, 0.0)
    every = [end for row in shown for end in (row.value, row.low, row.high, *row.dots)]
    axis = scale([0.0, -margin, margin, *every], start=_LEFT, end=_RIGHT)
    under = 0 if all(row.fits for row in shown) else _LINE
    _title(drawing, one.heading, "difference to the baseline")
    for index, row in enumerate(shown):
        text = _HEAD + (_ROW + under) * index
        drawing.text(_LEFT, text + 10, row.label, "label")
        drawing.text(_RIGHT, text + under + 10, row.figures, "value", anchor="end")
        top = text + under + 14  # below the text, so that nothing runs through it
        if margin > 0:
            drawing.box((axis(-margin), top), (axis(margin) - axis(-margin), 16), "margin")
        drawing.line((axis(0.0), top), (axis(0.0), top + 16), "zero")
        _effect(drawing, row, axis, top + 8)
    _foot(drawing, axis, _HEAD + (_ROW + under) * len(shown), hidden=len(effects) - len(shown))
    return drawing


def _effect(drawing: Drawing, row: _Effect, axis: Scale, middle: float) -> None:
    for dot in row.dots:
        drawing.dot(axis(dot), middle, 2, "seed")
    if math.isfinite(row.low) and math.isfinite(row.high):
        drawing.line((axis(row.low), middle), (axis(row.high), middle), f"bar {row.tone}")
    drawing.dot(axis(row.value), middle, 4.5, f"{'full' if row.filled else 'hollow'} {row.tone}")


def _pairs(findings: Findings, one: Measure) -> Drawing:
    """Every seed of every condition as a dot, tied to the same seed's baseline."""
    drawing = Drawing(f"Seeds in {one.title}", WIDTH)
    tied = {name: _ties(*by_seed(findings.tables[one.name], name)) for name in findings.conditions}
    tied = {name: pairs for name, pairs in tied.items() if pairs}
    shown = dict(list(tied.items())[:CHART_ROWS])
    if not shown:
        return drawing
    axis = scale([end for pairs in shown.values() for pair in pairs for end in pair], start=_LEFT, end=_RIGHT)
    _title(drawing, one.heading, "baseline (ring) and condition (dot) under each seed")
    top = float(_HEAD)
    for name, pairs in shown.items():
        more = f" ({len(pairs) - PAIRS} more not drawn)" if len(pairs) > PAIRS else ""
        drawing.text(_LEFT, top + 8, name + more, "label")
        top += 15
        for before, after in pairs[:PAIRS]:
            tone = one.sense(after - before) if after != before else ""
            drawing.line((axis(before), top), (axis(after), top), f"tie {tone}")
            drawing.dot(axis(before), top, 2.4, "hollow")
            drawing.dot(axis(after), top, 2.4, f"full {tone}")
            top += _PAIR
        top += 8
    _foot(drawing, axis, top, hidden=len(tied) - len(shown))
    return drawing


def _ties(before: Floats, after: Floats) -> list[tuple[float, float]]:
    pairs = zip(before.ravel().tolist(), after.ravel().tolist(), strict=True)
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def _regions(one: RegionMap) -> Drawing:
    """Importance of each region as a bar, the planted share as a thin one above it."""
    drawing = Drawing(f"Importance: {one.title}", WIDTH)
    if one.agreement:
        mean = sum(one.agreement) / len(one.agreement)
        told = f"rank agreement {number(mean, 2)} (chance 0; random below {number(one.chance, 2)})"
    else:
        told = "nothing planted to compare with"
    _title(drawing, one.title, told)
    axis = Scale(0.0, 1.0, 64, _RIGHT)
    for index, (region, share, planted) in enumerate(bars(one)):
        top = _HEAD + 22 * index
        drawing.text(_LEFT, top + 10, region, "label")
        if planted is not None:
            drawing.box((axis(0), top), (axis(planted) - axis(0), 5), "planted")
        drawing.box((axis(0), top + 6), (axis(share) - axis(0), 7), "found")
    drawing.height = _HEAD + 22 * len(one.regions) + 4
    return drawing


def _scatter(one: EmbeddingMap) -> Drawing:
    """Every test clip as a dot, coloured by its shape, one scale for both directions."""
    drawing = Drawing(f"Embedding map of {one.condition}", WIDTH)
    _title(drawing, f"{one.condition} ({one.trial})", one.told)
    shapes = list(dict.fromkeys(sorted(one.shapes)))
    for index, shape in enumerate(shapes):
        drawing.dot(_LEFT + 6 + 90 * index, _HEAD + 2, 4, f"kind{index}")
        drawing.text(_LEFT + 14 + 90 * index, _HEAD + 6, shape, "tick")
    low, high = one.places.min(axis=0), one.places.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    axis = Scale(-span / 2, span / 2, _LEFT + 4, _RIGHT - 4)
    top = _HEAD + 14
    for number_of_clip, (x, y) in enumerate((one.places - (low + high) / 2).tolist()):
        style = f"kind{shapes.index(one.shapes[number_of_clip])}" if shapes else "seed"
        drawing.dot(axis(x), top + axis(y) - _LEFT, 3, style)
    drawing.height = top + _RIGHT - _LEFT + 4
    return drawing


def _title(drawing: Drawing, title: str, under: str) -> None:
    drawing.text(_LEFT, 15, title, "title")
    drawing.text(_LEFT, 31, under, "under")


def _foot(drawing: Drawing, axis: Scale, top: float, *, hidden: int) -> None:
    """Draw the axis below `top`, and say what is not drawn."""
    drawing.line((axis.start, top), (axis.end, top), "axis")
    places = max(0, -math.floor(math.log10(axis.step) + 1e-9))
    for tick in axis.ticks:
        drawing.line((axis(tick), top), (axis(tick), top + 4), "axis")
        middle = min(WIDTH - 20.0, max(20.0, axis(tick)))  # not cut off at the edge
        drawing.text(middle, top + 15, number(tick, places), "tick", anchor="middle")
    drawing.height = top + _FOOT
    if hidden > 0:
        drawing.text(_LEFT, top + _FOOT + 10, f"{hidden} more are not drawn; see the tables", "under")
        drawing.height += 16
