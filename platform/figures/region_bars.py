"""Draws the mean of each map by region as bars: what can be shown of a brain without a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

Means = Mapping[str, Mapping[str, float]]
"""By map, then by region."""
_MOST = 40
_COLUMNS = 3
_DPI = 110
_UNITS = {
    "noise": "percent of variance",
    "repeat": "correlation",
    "importance": "share of the range",
    "encoding": "correlation",
}
"""By the beginning of a map's name."""


def draw_region_bars(
    means: Means, path: Path, *, title: str, values: Mapping[str, Sequence[float]] | None = None
) -> None:
    """Write a panel per map, whose largest regions are shown; maps of one measure share their scale.

    Args:
        means: at least one region each.
        path: of the PNG.
        title: above all panels.
        values: what the scales must hold, by map, such as the means of all subjects; by default `means`.
    """
    from matplotlib.figure import Figure  # takes a second

    shown_values = {each: [*of.values()] for each, of in means.items()} if values is None else values
    bars = max(min(len(each), _MOST) for each in means.values())
    columns = min(len(means), _COLUMNS)
    rows = math.ceil(len(means) / columns)
    figure = Figure(figsize=(3.4 * columns, 0.4 + rows * (1.0 + 0.22 * bars)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(means) :]:
        panel.remove()
    for panel, (name, regions) in zip(panels, means.items(), strict=False):
        shown = sorted(regions.items(), key=lambda item: -item[1])[:_MOST]
        panel.barh([region for region, _ in shown], [value for _, value in shown])
        panel.invert_yaxis()
        panel.set_xlim(*limits(name, shown_values))
        hidden = len(regions) - len(shown)
        panel.set_title(f"{name}\n({hidden} lower regions not shown)" if hidden else name, fontsize=9)
        panel.set_xlabel(unit_of(name), fontsize=8)
        panel.tick_params(labelsize=7)
    figure.savefig(path, dpi=_DPI)


def limits(name: str, values: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the limits of a map: those of the values of all maps of its measure, which is what its name begins with.

    Examples:
        >>> limits("noise_ceiling_1", {"noise_ceiling_1": [5.0], "noise_ceiling_n": [20.0], "repeat_r": [0.3]})
        (0.0, 20.0)
    """
    of_measure = [value for other in values if _measure(other) == _measure(name) for value in values[other]]
    low, high = min(0.0, *of_measure, 0.0), max(0.0, *of_measure, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def unit_of(name: str) -> str:
    """Return the unit of a map by its name; empty if it has none."""
    return _UNITS.get(_measure(name), "")


def _measure(name: str) -> str:
    return name.replace(" ", "_").partition("_")[0]
