"""The figures of a study as one HTML page, to hover and zoom over; self-contained, it works without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from platform.figures.axes import Axis, axis
from platform.figures.figure_data import COLOURS, WORDS, StudyPlot, described, last_value, with_goal
from platform.record.results import Result, best_so_far, controls, pareto
from trainables.metrics.registry import Metric

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SYMBOLS = {"COMPLETED": "circle", "PRUNED": "triangle-down-open", "FAILED": "x"}
_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;padding:0 1.5em;max-width:1150px;color:#1f2937}"
    "h1{font-size:1.4em}h2{font-size:1.1em}"
)


def page(plot: StudyPlot) -> str:
    """Return the page: every figure for which `plot` has enough, plotly's script once."""
    from plotly.offline import get_plotlyjs

    title = escape(plot.study)
    sections = "".join(
        f"<h2>{escape(heading)}</h2>{figure.to_html(full_html=False, include_plotlyjs=False)}"
        for heading, figure in _figures(plot)
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>'
    return f"<!doctype html><html><head>{head}</head><body><h1>{title}</h1><p>{plot.counts}</p>{sections}</body></html>"


def _figures(plot: StudyPlot) -> Iterator[tuple[str, Figure]]:
    done = [point for point in plot.points if all(point.value(target) is not None for target in plot.targets)]
    for target in plot.targets:
        if any(last_value(trial, target) is not None for trial in plot.ended):
            yield f"Optimisation history: {target.name}", _history(plot, target)
    for target, share in plot.importances.items():
        yield f"Parameter importance (fANOVA): {target.name}", _importance(share)
    for target in plot.targets:
        if plot.axes and any(last_value(point, target) is not None for point in plot.points):
            yield f"Slices: {target.name}", _slices(plot, target)
    if plot.axes and len(done) > 1:
        yield "Parallel coordinates (drag along an axis to select)", _parallel(plot, done)
    if len(plot.targets) > 1 and len(done) > 1:
        yield "Pareto front", _front(plot, done)


def _history(plot: StudyPlot, target: Metric) -> Figure:
    figure = _figure(height=420)
    ended = plot.ended
    _dots(figure, target, [(count, trial) for count, trial in enumerate(ended, start=1)])
    steps = best_so_far(ended, target)
    counts, values = [count for count, _, _ in steps], [value for _, _, value in steps]
    line = {"shape": "hv", "color": COLOURS["best"], "width": 2.5}
    figure.add_scatter(x=counts, y=values, mode="lines", line=line, name="best so far")
    for name, level in (controls(plot.best, target) if plot.best is not None else {}).items():
        style = {"line_dash": "dash", "line_color": COLOURS["control"], "line_width": 1.4}
        figure.add_hline(y=level, **style, annotation_text=f"control: {name}", annotation_position="top left")
    figure.update_xaxes(title=plot.counted)
    figure.update_yaxes(title=with_goal(target))
    return figure


def _importance(share: dict[str, float]) -> Figure:
    figure = _figure(height=130 + 34 * len(share))
    names, parts = list(share)[::-1], list(share.values())[::-1]
    labels = [f"{part:.0%}" for part in parts]
    bar = {"color": COLOURS["COMPLETED"]}
    figure.add_bar(x=parts, y=names, orientation="h", text=labels, textposition="outside", marker=bar)
    figure.update_xaxes(title="share of the variance", range=[0, max(parts) * 1.15])
    return figure


def _slices(plot: StudyPlot, target: Metric) -> Figure:
    from plotly.subplots import make_subplots

    columns = min(len(plot.axes), 3)
    rows = -(-len(plot.axes) // columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, vertical_spacing=0.3 / rows)
    figure.update_layout(
        template="simple_white", height=120 + 270 * rows, margin={"t": 20}, legend={"y": 1.08, "orientation": "h"}
    )
    for index, one in enumerate(plot.axes.values()):
        place = {"row": 1 + index // columns, "col": 1 + index % columns}
        held = [(x, p) for p in plot.points if p.outcome and (x := one.position(p.values)) is not None]
        _dots(figure, target, held, legend=index == 0, **place)
        figure.update_xaxes(title=one.name, **_ticks(one), **place)
    figure.update_yaxes(title=target.name, col=1)
    return figure


def _parallel(plot: StudyPlot, done: Sequence[Result]) -> Figure:
    from plotly.graph_objects import Figure, Parcoords

    columns = [*plot.axes.values(), *(axis(t.name, [p.metrics for p in done], kind="linear") for t in plot.targets)]
    dimensions = [_dimension(one, [{**point.values, **point.metrics} for point in done]) for one in columns]
    first = plot.targets[0]
    line = {
        "color": [point.metrics[first.name] for point in done],
        "colorscale": "Viridis",
        "reversescale": first.goal == "min",
        "showscale": True,
        "colorbar": {"title": first.name},
    }
    figure = Figure(Parcoords(line=line, dimensions=dimensions, labelangle=-12, labelside="bottom"))
    return figure.update_layout(height=480, margin={"l": 90, "r": 60, "t": 30, "b": 90})


def _dimension(one: Axis, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a parallel axis. One that is logarithmic, or unset in some trials, is drawn by its place and labelled."""
    rows = list(rows)
    label = one.name.rpartition(".")[2]
    places = [one.fraction(row) for row in rows]
    if one.kind == "linear" and None not in places:
        return {"label": label, "values": [one.position(row) for row in rows]}
    if one.kind == "category":
        marks = {(index + 0.5) / len(one.labels): text for index, text in enumerate(one.labels)}
    else:
        middle = (one.low * one.high) ** 0.5 if one.kind == "log" else (one.low + one.high) / 2
        marks = {0.0: f"{one.low:.3g}", 0.5: f"{middle:.3g}", 1.0: f"{one.high:.3g}"}
    if None in places:
        marks[-0.15] = "unset"
    values = [-0.15 if place is None else place for place in places]
    span = [-0.2 if None in places else 0.0, 1.0]
    return {"label": label, "values": values, "tickvals": list(marks), "ticktext": list(marks.values()), "range": span}


def _front(plot: StudyPlot, done: Sequence[Result]) -> Figure:
    x, y = plot.targets[:2]
    figure = _figure(height=480)
    edge = sorted(pareto(done, plot.targets), key=lambda point: point.metrics[x.name])
    for points, name, mode, colour in (
        (done, "completed", "markers", COLOURS["COMPLETED"]),
        (edge, "beaten by no other", "lines+markers", COLOURS["best"]),
    ):
        places = {"x": [p.metrics[x.name] for p in points], "y": [p.metrics[y.name] for p in points]}
        texts = [described(point) for point in points]
        figure.add_scatter(**places, mode=mode, name=name, marker={"color": colour, "size": 9}, hovertext=texts)
    figure.update_xaxes(title=with_goal(x))
    figure.update_yaxes(title=with_goal(y))
    return figure


def _dots(
    figure: Figure, target: Metric, places: Iterable[tuple[float, Result]], *, legend: bool = True, **cell: int
) -> None:
    """Add trials by how they ended; what has no value is placed a little beyond the worst one."""
    places = list(places)
    values = [value for _, result in places if (value := last_value(result, target)) is not None]
    margin = 0.07 * (max(values, default=0.0) - min(values, default=0.0))
    beyond = max(values, default=0.0) + margin if target.goal == "min" else min(values, default=0.0) - margin
    for outcome, word in WORDS.items():
        chosen = [(x, last_value(result, target), result) for x, result in places if result.outcome == outcome]
        if chosen:
            figure.add_scatter(
                x=[x for x, _, _ in chosen],
                y=[beyond if y is None else y for _, y, _ in chosen],
                mode="markers",
                name=word,
                showlegend=legend,
                legendgroup=word,
                marker={"symbol": _SYMBOLS[outcome], "color": COLOURS[outcome], "size": 9},
                hovertext=[described(result) + ("" if y is not None else " (no value)") for _, y, result in chosen],
                **cell,
            )


def _ticks(one: Axis) -> dict[str, Any]:
    if one.kind != "category":
        return {"type": one.kind, "exponentformat": "e"}
    return {
        "tickvals": list(range(len(one.labels))),
        "ticktext": list(one.labels),
        "range": [-0.5, len(one.labels) - 0.5],
    }


def _figure(*, height: int) -> Figure:
    from plotly.graph_objects import Figure

    layout = {
        "template": "simple_white",
        "height": height,
        "margin": {"t": 20},
        "legend": {"y": 1.1, "orientation": "h"},
    }
    return Figure().update_layout(**layout)
