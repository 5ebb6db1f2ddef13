"""Draws a plotly figure with Matplotlib, because plotly needs a browser to write PNG.

It draws only the elements of a study's figures: dots, lines, horizontal bars, annotations, and one legend.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure

_PIXELS = 100
"""Plotly's pixels per inch of the picture."""
_DPI = 110
_MARKERS = {"circle": "o", "circle-open": "o", "triangle-down-open": "v", "x": "X"}
_LINES = {None: "-", "solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_LONG = 28
"""Number of letters of a panel's categories above which the labels are rotated."""


def save(figure: PlotlyFigure, path: Path, *, title: str, subtitle: str) -> None:
    """Write `figure` with a title to `path`."""
    draw_png(figure, title=title, subtitle=subtitle).savefig(path, dpi=_DPI)


def draw_png(figure: PlotlyFigure, *, title: str, subtitle: str) -> Figure:
    """Return `figure` as a figure of Matplotlib."""
    from matplotlib.figure import Figure

    height = figure.layout.height / _PIXELS + 0.4
    picture = Figure(figsize=(figure.layout.width / _PIXELS, height), layout="constrained")
    picture.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    picture.text(0.01, 1 - 0.42 / height, subtitle, fontsize=9.5, color="#4b5563", va="top")
    panels = _panels(picture, figure)
    for trace in figure.data:
        (_draw_bars if trace.type == "bar" else _draw_scatter)(panels[_pair(trace)], trace)
    for (x, y), panel in panels.items():
        panel.set_facecolor(figure.layout.plot_bgcolor or "white")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color=_layout(figure, x).gridcolor or "#e5e7eb", linewidth=0.8)
        panel.set_axisbelow(True)
        _finish(panel, "x", _layout(figure, x))
        _finish(panel, "y", _layout(figure, y))
    _draw_annotations(panels["x", "y"], figure.layout.annotations)
    _draw_legend(picture)
    return picture


def _pair(trace: Any) -> tuple[str, str]:
    return trace.xaxis or "x", trace.yaxis or "y"


def _layout(figure: PlotlyFigure, name: str) -> Any:
    """Return the layout of an axis such as `x2`, which plotly stores as `xaxis2`."""
    return figure.layout[f"{name[0]}axis{name[1:]}"]


def _panels(picture: Figure, figure: PlotlyFigure) -> dict[tuple[str, str], Axes]:
    """Return one matplotlib panel for each pair of x and y axis of the plotly figure, at the same place of the grid."""
    pairs = dict.fromkeys(map(_pair, figure.data))
    start = {name: (_layout(figure, name).domain or (0.0,))[0] for pair in pairs for name in pair}
    rows = sorted({start[y] for _, y in pairs}, reverse=True)
    columns = sorted({start[x] for x, _ in pairs})
    grid = picture.add_gridspec(len(rows), len(columns))
    panels: dict[tuple[str, str], Axes] = {}
    for x, y in pairs:
        matched = next((panel for pair, panel in panels.items() if pair[1] == _layout(figure, y).matches), None)
        panel = picture.add_subplot(grid[rows.index(start[y]), columns.index(start[x])], sharey=matched)
        for name in (x, y):
            order, axis = _layout(figure, name).categoryarray, getattr(panel, f"{name[0]}axis")
            if order is not None:
                axis.update_units(list(order))
        panels[x, y] = panel
    return panels


def _draw_scatter(panel: Axes, trace: Any) -> None:
    name = None if trace.showlegend is False else trace.name
    # A trace without values is there for the legend; an axis of words takes no NaN.
    is_empty = all(value is None for value in trace.x)
    x, y = ([np.nan if v is None else v for v in values if not is_empty] for values in (trace.x, trace.y))
    if "lines" in trace.mode:
        line = trace.line
        look = {"color": _colour(line.color), "linewidth": line.width or 2, "linestyle": _LINES[line.dash]}
        steps = "steps-post" if line.shape == "hv" else "default"
        panel.plot(x, y, **look, drawstyle=steps, alpha=trace.opacity, label=name, zorder=2)
    if "markers" in trace.mode:
        marker, symbol = trace.marker, trace.marker.symbol or "circle"
        colours = _colour(marker.color) if isinstance(marker.color, str) else list(map(_colour, marker.color))
        faces, edges = ("none", colours) if "open" in symbol else (colours, _colour(marker.line.color) or colours)
        look = {"facecolors": faces, "edgecolors": edges, "linewidths": marker.line.width or 1, "alpha": 0.9}
        size = (72 / _PIXELS * (marker.size or 7)) ** 2
        panel.scatter(x, y, size, marker=_MARKERS[symbol], **look, label=name, zorder=3)
    if "text" in trace.mode:
        for across, up, text in zip(x, y, trace.text, strict=True):
            panel.annotate(text, (across, up), xytext=(6, 6), textcoords="offset points", fontsize=8)


def _draw_bars(panel: Axes, trace: Any) -> None:
    starts: Any = 0
    lengths: list[Any] = list(trace.x)
    if trace.base is not None:
        starts = [datetime.fromisoformat(text) for text in trace.base]
        lengths = [timedelta(milliseconds=length) for length in lengths]
    name = None if trace.showlegend is False else trace.name
    bars = panel.barh(list(trace.y), lengths, left=starts, color=trace.marker.color, height=0.7, label=name)
    if trace.textposition == "outside":
        panel.bar_label(bars, labels=list(trace.text), padding=4, fontsize=9)


def _draw_annotations(panel: Axes, annotations: Iterable[Any]) -> None:
    halo = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    for text in annotations:
        look = {"ha": text.xanchor, "va": "center", "fontsize": 8.5, "bbox": halo, "zorder": 6}
        panel.annotate(text.text, (text.x, text.y), xytext=(text.xshift, 0), textcoords="offset points", **look)


def _finish(panel: Axes, letter: str, layout: Any) -> None:
    """Set title, scale, ticks and range of an axis."""
    axis = getattr(panel, f"{letter}axis")
    if layout.type == "log":
        panel.set(**{f"{letter}scale": "log"})
    if layout.tickvals is not None:
        axis.set_ticks(list(layout.tickvals), [_lines(text) for text in layout.ticktext])
    if layout.categoryarray is not None:
        panel.set(**{f"{letter}lim": (-0.5, len(layout.categoryarray) - 0.5)})
        if letter == "x" and len("".join(layout.categoryarray)) > _LONG:
            axis.set_tick_params(rotation=25 if len(layout.categoryarray) < 8 else 90)
    if layout.range is not None:
        panel.set(**{f"{letter}lim": np.power(10.0, layout.range) if layout.type == "log" else layout.range})
    axis.set_inverted(layout.autorange == "reversed")
    axis.label.set_text(_lines(layout.title.text))
    if layout.showticklabels is False:
        axis.set_tick_params(labelleft=False, labelbottom=False)
    axis.set_visible(layout.visible is not False)


def _draw_legend(picture: Figure) -> None:
    """Draw one legend below the panels, each entry once."""
    entries: dict[str, Any] = {}
    for panel in picture.axes:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if entries:
        look = {"ncols": 6, "frameon": False, "fontsize": 9, "columnspacing": 1.2}
        picture.legend(entries.values(), entries.keys(), loc="outside lower left", **look)


def _colour(text: str | None) -> Any:
    """Return a colour in the form of Matplotlib: plotly also has `rgb(1, 2, 3)`."""
    if text is not None and text.startswith("rgb("):
        return tuple(float(part) / 255 for part in text[4:-1].split(","))
    return text


def _lines(text: str | None) -> str:
    return "" if text is None else text.replace("<br>", "\n")
