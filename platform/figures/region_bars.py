"""Draws the mean of each map by region as bars: what can be shown of a brain without a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

Means = Mapping[str, Mapping[str, float]]
"""By map, then by region."""
_MOST = 40
_COLUMNS = 3
_DPI = 110
_UNITS = {"noise": "percent of variance", "repeat": "correlation", "importance": "share of the range"}
"""By the beginning of a map's name."""


def draw_region_bars(means: Means, path: Path, *, title: str) -> None:
    """Write a panel per map, whose largest regions are shown; maps of one measure share their scale.

    Args:
        means: at least one region each.
        path: of the PNG.
        title: above all panels.
    """
    from matplotlib.figure import Figure  # takes a second

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
        panel.set_xlim(*scale_of(name, means))
        hidden = len(regions) - len(shown)
        panel.set_title(f"{name}\n({hidden} lower regions not shown)" if hidden else name, fontsize=9)
        panel.set_xlabel(_UNITS.get(_measure(name), ""), fontsize=8)
        panel.tick_params(labelsize=7)
    figure.savefig(path, dpi=_DPI)


def scale_of(name: str, means: Means) -> tuple[float, float]:
    """Return the limits of a map's axis: those of all maps of its measure, which is what its name begins with.

    Examples:
        >>> scale_of("noise_ceiling_1", {"noise_ceiling_1": {"V1": 5.0}, "noise_ceiling_n": {"V1": 20.0}})
        (0.0, 20.0)
    """
    values = [
        value for other, regions in means.items() if _measure(other) == _measure(name) for value in regions.values()
    ]
    low, high = min(0.0, *values), max(0.0, *values)
    return (low, high) if high > low else (0.0, 1.0)


def _measure(name: str) -> str:
    return name.replace(" ", "_").partition("_")[0]
