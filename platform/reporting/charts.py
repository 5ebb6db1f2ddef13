"""The figures: forest plots of effects, paired dots of seeds, effects per subject, and importance of brain regions.

Each figure is a set of panels of equal width. A page arranges them side by side or below each other.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from platform.analysis.findings import Findings, means_by_seed
from platform.analysis.measures import Measure
from platform.analysis.per_clip import Floats
from platform.analysis.voxel_importance import RegionMap, region_bars
from platform.reporting.embedding import EmbeddingMap
from platform.reporting.tables import TONES
from platform.reporting.words import bracket, decimals, number
from trainables.pages.drawing import Drawing, Scale, scale

WIDTH = 372
CHART_ROWS = 40
"""Largest number of rows in a panel; the tables have all rows."""
_LEFT, _RIGHT, _HEAD, _ROW, _FOOT = 8, 364, 46, 36, 22
_LINE = 14
"""Additional height of a row whose label and figures do not fit on one line."""
_LETTER = 6.4
"""Assumed mean width of a letter, since no font is available to measure it."""
_PAIR = 6
"""Height of a pair of dots."""
_PAIRS = 24
"""Largest number of pairs of dots per condition."""


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
        digits = decimals(self.low, self.high, of=self.value)
        return f"{number(self.value, digits, signed=True)} {bracket(self.low, self.high, digits)}{self.mark}"

    @property
    def is_in_range(self) -> bool:
        """Whether label and figures fit on one line."""
        return _LETTER * (len(self.label) + len(self.figures) + 2) <= _RIGHT - _LEFT


def figures(
    findings: Findings, maps: Sequence[RegionMap], embedded: Sequence[EmbeddingMap]
) -> Mapping[str, list[Drawing]]:
    """Return all figures with content: name to panels."""
    several = len(findings.result.subjects) > 1
    panels_of = {
        "effects": [
            _forest("Effects", measure, list(_effects(findings, measure)), findings) for measure in findings.measures
        ],
        "seeds": [_pairs(findings, measure) for measure in findings.measures],
        "subjects": [
            _forest("Subjects", measure, list(_by_subject(findings, measure)), findings)
            for measure in findings.measures
        ]
        if several
        else [],
        "importance": [_regions(region_map) for region_map in maps],
        "embedding": [_scatter(embedding) for embedding in embedded],
    }
    return {
        name: panels_with_rows
        for name, panels in panels_of.items()
        if (panels_with_rows := [panel for panel in panels if panel.height > 0])
    }


def _effects(findings: Findings, measure: Measure) -> Iterator[_Effect]:
    for condition in findings.conditions:
        tested = findings.comparisons[condition, measure.name]
        if math.isfinite(tested.difference):
            yield _Effect(
                condition,
                tested.difference,
                tested.interval.low,
                tested.interval.high,
                TONES[tested.verdict],
                findings.is_declared((condition, measure.name)),
                tested.stars,
                tuple(value for values in tested.by_seed.values() for value in values),
            )


def data_set_effects(all_findings: Sequence[Findings]) -> list[Drawing]:
    """Return a panel for each primary metric: the difference of every condition in every data set, side by side."""
    first = all_findings[0]
    panels = [_forest("Data sets", measure, _in_data_sets(all_findings, measure), first) for measure in first.measures]
    return [panel for panel in panels if panel.height > 0]


def _in_data_sets(all_findings: Sequence[Findings], measure: Measure) -> list[_Effect]:
    rows = [
        replace(effect, label=f"{effect.label}, {findings.result.dataset}")
        for findings in all_findings
        for effect in _effects(findings, measure)
    ]
    order = all_findings[0].conditions
    return sorted(rows, key=lambda row: order.index(row.label.rpartition(", ")[0]))


def _by_subject(findings: Findings, measure: Measure) -> Iterator[_Effect]:
    for condition in findings.conditions:
        for index, subject in enumerate(findings.result.subjects):
            effect = findings.subjects[condition, measure.name][index]
            if math.isfinite(effect.value):
                tone = measure.sense(effect.value) if effect.excludes_zero else ""
                yield _Effect(f"{condition}, subject {subject}", effect.value, effect.low, effect.high, tone, False)


def _forest(title: str, measure: Measure, effects: Sequence[_Effect], findings: Findings) -> Drawing:
    drawing = Drawing(f"{title} in {measure.title}", WIDTH)
    if not effects:
        return drawing
    shown = effects[:CHART_ROWS]
    margin = findings.result.design.margins.get(measure.name, 0.0)
    every = [end for row in shown for end in (row.value, row.low, row.high, *row.dots)]
    axis = scale([0.0, -margin, margin, *every], start=_LEFT, end=_RIGHT)
    under = 0 if all(row.is_in_range for row in shown) else _LINE
    _title(drawing, measure.heading, "difference to the baseline")
    for index, row in enumerate(shown):
        text = _HEAD + (_ROW + under) * index
        drawing.text(_LEFT, text + 10, row.label, "label")
        drawing.text(_RIGHT, text + under + 10, row.figures, "value", anchor="end")
        top = text + under + 14  # below the text, so that no line crosses it
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


def _pairs(findings: Findings, measure: Measure) -> Drawing:
    """Draw each seed of each condition as a dot, connected with the baseline of the same seed."""
    drawing = Drawing(f"Seeds in {measure.title}", WIDTH)
    tied = {name: _ties(*means_by_seed(findings.tables[measure.name], name)) for name in findings.conditions}
    tied = {name: pairs for name, pairs in tied.items() if pairs}
    shown = dict(list(tied.items())[:CHART_ROWS])
    if not shown:
        return drawing
    axis = scale([end for pairs in shown.values() for pair in pairs for end in pair], start=_LEFT, end=_RIGHT)
    _title(drawing, measure.heading, "baseline (ring) and condition (dot) under each seed")
    top = float(_HEAD)
    for name, pairs in shown.items():
        more = f" ({len(pairs) - _PAIRS} more not drawn)" if len(pairs) > _PAIRS else ""
        drawing.text(_LEFT, top + 8, name + more, "label")
        top += 15
        for before, after in pairs[:_PAIRS]:
            tone = measure.sense(after - before) if after != before else ""
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


def _regions(region_map: RegionMap) -> Drawing:
    """Draw the importance of each region as a bar, and the planted share as a thin bar above it."""
    drawing = Drawing(f"Importance: {region_map.title}", WIDTH)
    if region_map.agreement:
        mean = sum(region_map.agreement) / len(region_map.agreement)
        subtitle = f"rank agreement {number(mean, 2)} (95% of random orders: below {number(region_map.chance, 2)})"
    else:
        subtitle = "no planted regions to compare with"
    _title(drawing, region_map.title, subtitle)
    axis = Scale(0.0, 1.0, 64, _RIGHT)
    for index, (region, share, planted) in enumerate(region_bars(region_map)):
        top = _HEAD + 22 * index
        drawing.text(_LEFT, top + 10, region, "label")
        if planted is not None:
            drawing.box((axis(0), top), (axis(planted) - axis(0), 5), "planted")
        drawing.box((axis(0), top + 6), (axis(share) - axis(0), 7), "found")
    drawing.height = _HEAD + 22 * len(region_map.regions) + 4
    return drawing


def _scatter(embedding: EmbeddingMap) -> Drawing:
    """Draw each test clip as a dot in the colour of its shape, with the same scale on both axes."""
    drawing = Drawing(f"Embedding map of {embedding.condition}", WIDTH)
    _title(drawing, f"{embedding.condition} ({embedding.trial})", embedding.caption)
    shapes = list(dict.fromkeys(sorted(embedding.shapes)))
    for index, shape in enumerate(shapes):
        drawing.dot(_LEFT + 6 + 90 * index, _HEAD + 2, 4, f"kind{index}")
        drawing.text(_LEFT + 14 + 90 * index, _HEAD + 6, shape, "tick")
    low, high = embedding.coordinates.min(axis=0), embedding.coordinates.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    axis = Scale(-span / 2, span / 2, _LEFT + 4, _RIGHT - 4)
    top = _HEAD + 14
    for number_of_clip, (x, y) in enumerate((embedding.coordinates - (low + high) / 2).tolist()):
        style = f"kind{shapes.index(embedding.shapes[number_of_clip])}" if shapes else "seed"
        drawing.dot(axis(x), top + axis(y) - _LEFT, 3, style)
    drawing.height = top + _RIGHT - _LEFT + 4
    return drawing


def _title(drawing: Drawing, title: str, subtitle: str) -> None:
    drawing.text(_LEFT, 15, title, "title")
    drawing.text(_LEFT, 31, subtitle, "under")


def _foot(drawing: Drawing, axis: Scale, top: float, *, hidden: int) -> None:
    """Draw the axis below `top`, and the number of rows that are not drawn."""
    drawing.line((axis.start, top), (axis.end, top), "axis")
    digits = max(0, -math.floor(math.log10(axis.step) + 1e-9))
    for tick in axis.ticks:
        drawing.line((axis(tick), top), (axis(tick), top + 4), "axis")
        middle = min(WIDTH - 20.0, max(20.0, axis(tick)))  # not cut off at the edge
        drawing.text(middle, top + 15, number(tick, digits), "tick", anchor="middle")
    drawing.height = top + _FOOT
    if hidden > 0:
        drawing.text(_LEFT, top + _FOOT + 10, f"{hidden} more are not drawn; see the tables", "under")
        drawing.height += 16
