"""Figures of a study as PNG, from its results alone: history, importance, slices, parallel coordinates, Pareto front.

A figure that would say nothing (one trial, one parameter) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platform.figures.axes import Axis, axis
from platform.figures.figure_data import COLOURS, WORDS, StudyPlot, last_value, with_goal
from platform.record.results import Result, best_so_far, controls, pareto
from trainables.metrics.registry import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"COMPLETED": "o", "PRUNED": "v", "FAILED": "X"}
_DPI = 110
_UNSET = -0.09
"""Where, below a parallel axis, trials pass in which its field has no value."""


def draw_all(plot: StudyPlot, folder: Path) -> tuple[Path, ...]:
    """Write every figure for which `plot` has enough into `folder`, as PNG, and return the files."""
    draws: Mapping[str, Callable[[StudyPlot], Figure | None]] = {
        "history": history,
        "importance": importance,
        "slices": slices,
        "parallel": parallel,
        "pareto": front,
    }
    figures = {name: draw(plot) for name, draw in draws.items()}
    files = {folder / f"{name}.png": figure for name, figure in figures.items() if figure is not None}
    for file, figure in files.items():
        figure.savefig(file, dpi=_DPI)
    return tuple(files)


def history(plot: StudyPlot) -> Figure | None:
    """Draw every point's value in the order in which they ended, the best so far, and the controls."""
    ended = plot.ended
    if not any(last_value(trial, target) is not None for trial in ended for target in plot.targets):
        return None
    from matplotlib.ticker import MaxNLocator

    figure, panels = _panels(plot, "Optimisation history", len(plot.targets), width=8.5, height=4.2)
    for panel, target in zip(panels, plot.targets, strict=True):
        _scatter(panel, target, [(float(count), trial) for count, trial in enumerate(ended, start=1)])
        steps = best_so_far(ended, target)
        counts, values = [count for count, _, _ in steps], [value for _, _, value in steps]
        panel.step(counts, values, where="post", color=COLOURS["best"], linewidth=2, label="best so far", zorder=2)
        if plot.best is not None:
            _controls(panel, controls(plot.best, target))
        panel.set_xlabel(plot.counted)
        panel.set_ylabel(with_goal(target))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, panels)
    return figure


def importance(plot: StudyPlot) -> Figure | None:
    """Draw the share of each target's variance that each swept field accounts for."""
    shown = plot.importances
    if not shown:
        return None
    height = 1.5 + 0.42 * max(map(len, shown.values()))
    figure, panels = _panels(plot, "Parameter importance (fANOVA)", len(shown), width=8.5, height=height)
    for panel, (target, share) in zip(panels, shown.items(), strict=True):
        names, parts = list(share)[::-1], list(share.values())[::-1]
        bars = panel.barh(names, parts, color=COLOURS["COMPLETED"], height=0.62)
        panel.bar_label(bars, labels=[f"{part:.0%}" for part in parts], padding=4, fontsize=9)
        panel.set_xlim(0, max(parts) * 1.15)
        panel.set_xlabel(f"share of the variance of {target.name}")
        panel.grid(visible=False, axis="y")
    return figure


def slices(plot: StudyPlot) -> Figure | None:
    """Draw each target against each swept field: a row of panels per target."""
    ended = [point for point in plot.points if point.outcome]
    if not plot.axes or not any(last_value(point, target) is not None for point in ended for target in plot.targets):
        return None
    columns = _columns(len(plot.axes)) if len(plot.targets) == 1 else len(plot.axes)
    pairs = [(target, one) for target in plot.targets for one in plot.axes.values()]
    size = {"width": 2.9 * columns + 1.2, "height": 3.2 * -(-len(pairs) // columns) + 0.9}
    figure, panels = _panels(plot, "Slices", len(pairs), columns=columns, **size)
    for index, (panel, (target, one)) in enumerate(zip(panels, pairs, strict=True)):
        _scatter(panel, target, [(x, p) for p in ended if (x := one.position(p.values)) is not None], best=plot.best)
        _scale(panel, one)
        panel.set_xlabel(one.name)
        if index % columns == 0:
            panel.set_ylabel(with_goal(target), fontsize=9)
        else:
            panel.tick_params(labelleft=False)
            panel.sharey(panels[index - index % columns])
    _legend(figure, panels)
    return figure


def parallel(plot: StudyPlot) -> Figure | None:
    """Draw every point as a line through the axes of the swept fields and of the targets, coloured by the first."""
    done = [point for point in plot.points if all(point.value(target) is not None for target in plot.targets)]
    if len(done) < 2 or not plot.axes:
        return None
    from matplotlib import colormaps

    columns = [*plot.axes.values(), *(axis(t.name, [p.metrics for p in done], kind="linear") for t in plot.targets)]
    figure, (panel,) = _panels(plot, "Parallel coordinates", 1, width=1.9 * len(columns) + 1.2, height=4.8)
    colour, first = colormaps["viridis"], columns[len(plot.axes)]
    for index, point in enumerate(plot.points):
        if point.outcome is None:
            continue
        style: dict[str, Any]
        heights: list[float | None] = [_height(one, point, index) for one in plot.axes.values()]
        if point in done:
            heights += [one.fraction(point.metrics) for one in columns[len(plot.axes) :]]
            shade = first.fraction(point.metrics)
            assert shade is not None
            style = {"color": colour(shade if plot.targets[0].goal == "max" else 1 - shade), "alpha": 0.75}
        else:
            word = WORDS[point.outcome]
            style = {"color": COLOURS[point.outcome], "linestyle": ":", "linewidth": 1.4, "label": word}
        if point is plot.best:
            style = {"color": COLOURS["best"], "linewidth": 3.2, "zorder": 5, "label": f"best: {point.trial}"}
        panel.plot(range(len(heights)), np.array(heights, dtype=float), **style)
    panel.plot([], [], color=colour(0.95), label="brighter: better")
    unset = {x for x, name in enumerate(plot.axes) if any(name not in point.values for point in plot.points)}
    _draw_columns(panel, columns, unset)
    _legend(figure, [panel])
    return figure


def front(plot: StudyPlot) -> Figure | None:
    """Draw the first two targets of a study with several against each other, with those that nothing beats."""
    done = [point for point in plot.points if all(point.value(target) is not None for target in plot.targets)]
    if len(plot.targets) < 2 or len(done) < 2:
        return None
    x, y = plot.targets[:2]
    figure, (panel,) = _panels(plot, "Pareto front", 1, width=6.5, height=5.2)
    edge = sorted(pareto(done, plot.targets), key=lambda point: point.metrics[x.name])
    panel.scatter(*_pairs(done, x, y), color=COLOURS["COMPLETED"], alpha=0.6, label="completed")
    panel.plot(*_pairs(edge, x, y), "o-", color=COLOURS["best"], markersize=8, label="beaten by no other")
    for point in edge:
        place = (point.metrics[x.name], point.metrics[y.name])
        panel.annotate(point.trial, place, xytext=(6, 6), textcoords="offset points", fontsize=8)
    panel.set_xlabel(with_goal(x))
    panel.set_ylabel(with_goal(y))
    _legend(figure, [panel])
    return figure


def _panels(
    plot: StudyPlot, what: str, count: int, *, width: float, height: float, columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a heading and `count` panels, in one row unless `columns` says otherwise."""
    from matplotlib.figure import Figure

    across = count if columns is None else columns
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = list(figure.subplots(-(-count // across), across, squeeze=False).flat)
    for empty in panels[count:]:
        empty.remove()
    panels = panels[:count]
    figure.suptitle(f"{what} of {plot.study}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.01, 1 - 0.42 / height, plot.counts, fontsize=9.5, color=COLOURS["control"], va="top")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e5e7eb", linewidth=0.8)
        panel.set_axisbelow(True)
    return figure, panels


def _scatter(
    panel: Axes, target: Metric, places: Iterable[tuple[float, Result]], *, best: Result | None = None
) -> None:
    """Draw trials by how they ended; what has no value stands on the panel's worse edge."""
    places = list(places)
    for outcome, word in WORDS.items():
        chosen = [(x, last_value(result, target)) for x, result in places if result.outcome == outcome]
        valued = [(x, y) for x, y in chosen if y is not None]
        bare = [(x, 0.97 if target.goal == "min" else 0.03) for x, y in chosen if y is None]
        for dots, transform in ((valued, panel.transData), (bare, panel.get_xaxis_transform())):
            if dots:
                style = _dot(outcome)
                x, y = zip(*dots, strict=True)
                panel.scatter(x, y, s=42, label=word, transform=transform, zorder=3, **style)
    for place, result in places:
        if best is not None and result.trial == best.trial:
            ring: dict[str, Any] = {"facecolors": "none", "edgecolors": COLOURS["best"], "linewidths": 2.2}
            panel.scatter(place, result.metrics[target.name], s=130, label=f"best: {best.trial}", zorder=4, **ring)


def _dot(outcome: str) -> dict[str, Any]:
    colour = COLOURS[outcome]
    face = "none" if outcome == "PRUNED" else colour
    return {"marker": _MARKERS[outcome], "facecolors": face, "edgecolors": colour, "alpha": 0.85}


def _controls(panel: Axes, levels: Mapping[str, float]) -> None:
    for style, (name, level) in zip(("--", ":", "-."), levels.items(), strict=False):
        panel.axhline(level, linestyle=style, color=COLOURS["control"], linewidth=1.3, label=f"control: {name}")


def _scale(panel: Axes, one: Axis) -> None:
    if one.kind == "log":
        panel.set_xscale("log")
    if one.kind == "category":
        panel.set_xticks(range(len(one.labels)), one.labels, rotation=0 if max(map(len, one.labels)) < 8 else 20)
        panel.set_xlim(-0.5, len(one.labels) - 0.5)


def _height(one: Axis, point: Result, index: int) -> float:
    """Return where a line crosses a parallel axis; lines through one category are spread a little."""
    height = one.fraction(point.values)
    if height is None:
        return _UNSET
    spread = (index * 0.618) % 1.0 - 0.5
    return height + 0.25 * spread / len(one.labels) if one.kind == "category" else height


def _draw_columns(panel: Axes, columns: Sequence[Axis], unset: Container[int]) -> None:
    text: dict[str, Any] = {"fontsize": 8.5, "ha": "right", "va": "center"}
    halo: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    for x, one in enumerate(columns):
        panel.axvline(x, color="#374151", linewidth=1, zorder=2)
        if one.kind == "category":
            marks = {(i + 0.5) / len(one.labels): name for i, name in enumerate(one.labels)}
        else:
            middle = (one.low * one.high) ** 0.5 if one.kind == "log" else (one.low + one.high) / 2
            marks = {0.0: f"{one.low:.3g}", 0.5: f"{middle:.3g}", 1.0: f"{one.high:.3g}"}
        if x in unset:
            marks[_UNSET] = "unset"
        for height, name in marks.items():
            panel.text(x - 0.03, height, name, zorder=6, bbox=halo, **text)
    panel.set_xticks(range(len(columns)), [one.name.replace(".", ".\n") for one in columns])
    panel.set_xlim(-0.35, len(columns) - 0.9)
    panel.set_ylim(-0.14, 1.06)
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.spines[["left", "bottom"]].set_visible(False)


def _columns(count: int) -> int:
    """Return how many panels stand in a row: up to four, and rows as full as can be."""
    return -(-count // -(-count // 4))


def _pairs(points: Iterable[Result], x: Metric, y: Metric) -> tuple[list[float], list[float]]:
    points = list(points)
    return [point.metrics[x.name] for point in points], [point.metrics[y.name] for point in points]


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend below the panels, each entry once."""
    entries = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        entries.update(dict(zip(labels, handles, strict=True)))
    if entries:
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower left",
            ncols=6,
            frameon=False,
            fontsize=9,
            columnspacing=1.2,
        )
