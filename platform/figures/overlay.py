"""Additions to Optuna's plots: colours and labels of this project, controls, failed trials, the best point."""

from collections.abc import Mapping, Sequence
from typing import Any

from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from platform.figures.importance import Importance
from platform.figures.study_data import last_value
from platform.record.results import OUTCOME_WORDS, Result, format_value
from platform.study.domains import sampled_value
from trainables.metrics.metric import Metric

_COLOURS = {"COMPLETED": "#3b6ea5", "PRUNED": "#8a9099", "FAILED": "#c0392b"}
"""Colour-blind readers can distinguish them; the markers also differ."""
_BEST, _CONTROL = "#e08a1e", "#4b5563"
_SYMBOLS = {"COMPLETED": "circle", "PRUNED": "triangle-down-open", "FAILED": "x"}
_DASHES = ("dash", "dot", "dashdot")
SLICE_COLUMNS = 3
"""Number of slices in a row."""
_WIDTH = 1000


def _look(outcome: str) -> dict[str, Any]:
    marker = {"symbol": _SYMBOLS[outcome], "color": _COLOURS[outcome], "size": 9}
    return {"name": OUTCOME_WORDS[outcome], "marker": marker, "showlegend": True, "legendgroup": outcome}


_LOOKS: Mapping[str, dict[str, Any]] = {
    "Feasible Trial": _look("COMPLETED"),
    "Best Value": {"name": "best so far", "line": {"shape": "hv", "color": _BEST, "width": 2.5}},
    "Feasible": {"name": OUTCOME_WORDS["COMPLETED"]},
    "Infeasible": {"name": OUTCOME_WORDS["PRUNED"]},
    "COMPLETE": {"name": OUTCOME_WORDS["COMPLETED"], "marker_color": _COLOURS["COMPLETED"]},
    "PRUNED": {"name": OUTCOME_WORDS["PRUNED"], "marker_color": _COLOURS["PRUNED"]},
    "FAIL": {"name": OUTCOME_WORDS["FAILED"], "marker_color": _COLOURS["FAILED"]},
}
"""Optuna's name of a trace to its new properties."""


def restyle(figure: Figure, *, height: int = 420) -> Figure:
    """Apply the colours and labels of this project to a plot of Optuna."""
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    margin = {"t": 40, "r": 40, "b": 50}
    figure.update_layout(template="simple_white", title=None, width=_WIDTH, height=height, legend=legend, margin=margin)
    figure.update_xaxes(exponentformat="power").update_yaxes(exponentformat="power")
    figure.for_each_trace(lambda trace: trace.update(_LOOKS.get(str(trace.name), {})))
    return figure


def finish_history(figure: Figure, points: Sequence[Result], controls: Mapping[str, float]) -> Figure:
    """Count points from 1, add their names, and draw the scores of the controls as lines."""
    for completed in figure.data[:1]:  # Optuna calls it by its metric
        completed.update(_look("COMPLETED"), hovertext=[point_text(points[number]) for number in completed.x])
    figure.for_each_trace(lambda trace: trace.update(x=[number + 1 for number in trace.x]))
    figure.data = [trace for trace in figure.data if len(trace.x) > 0]
    for dash, (name, level) in zip(_DASHES, controls.items(), strict=False):
        line = {"color": _CONTROL, "width": 1.4, "dash": dash}
        figure.add_scatter(x=[1, len(points)], y=[level, level], mode="lines", line=line, name=f"control: {name}")
    return figure


def draw_importance(found: Importance) -> Figure:
    """Draw the importance of each field as a bar with its spread, and the null line; say if it cannot be trusted."""
    names = [field.field for field in reversed(found.fields)]
    shares = [field.share for field in reversed(found.fields)]
    figure = Figure()
    figure.add_bar(x=shares, y=names, orientation="h", marker_color=_COLOURS["COMPLETED"], showlegend=False)
    ends = [end for field in reversed(found.fields) for end in (field.low, field.high, None)]
    rows = [row for name in names for row in (name, name, None)]
    whisker = {"color": _CONTROL, "width": 1.6}
    figure.add_scatter(x=ends, y=rows, mode="lines", line=whisker, name="90 % of random subsets of the points")
    line = {"color": _BEST, "width": 2, "dash": "dash"}
    null = "null line: 95 % of shuffled values have no field beyond it"
    figure.add_scatter(x=[found.null] * 2, y=[names[0], names[-1]], mode="lines", line=line, name=null)
    early = f", {found.stopped_early} of them stopped early" if found.stopped_early else ""
    counted = f"share of the importance (PED-ANOVA), {found.points} points{early}"
    title = f"{counted}<br>{found.warning}" if found.warning else counted
    return figure.update_xaxes(title=title).update_yaxes(categoryarray=names, type="category")


def unfinished_points(points: Sequence[Result], target: Metric, coordinates: Mapping[str, Any]) -> list[Scatter]:
    """Return traces of the points that Optuna does not draw, at the `coordinates` of their trials.

    A point without a value is drawn beyond the worst value.
    """
    levels = {point.trial: last_value(point, target) for point in points}
    values = [value for value in levels.values() if value is not None]
    margin = 0.07 * (max(values) - min(values))
    beyond = max(values) + margin if target.goal == "min" else min(values) - margin
    unfinished = [point for point in points if point.trial in coordinates and point.value(target) is None]
    groups = {outcome: [point for point in unfinished if point.outcome == outcome] for outcome in OUTCOME_WORDS}
    return [
        Scatter(
            x=[coordinates[point.trial] for point in group],
            y=[beyond if (level := levels[point.trial]) is None else level for point in group],
            mode="markers",
            hovertext=[point_text(point) + " (no value)" * (levels[point.trial] is None) for point in group],
            **_look(outcome),
        )
        for outcome, group in groups.items()
        if group
    ]


def join_slices(
    slices: Mapping[str, Figure], points: Sequence[Result], target: Metric, *, best: Result | None
) -> Figure:
    """Arrange Optuna's slices, one per field, in rows of a few panels, with a ring around the best point."""
    rows = -(-len(slices) // SLICE_COLUMNS)
    columns = min(len(slices), SLICE_COLUMNS)
    grid = make_subplots(rows, columns, shared_yaxes="all", horizontal_spacing=0.04, vertical_spacing=0.3 / rows)
    ring = {"symbol": "circle-open", "color": _BEST, "size": 15, "line": {"width": 2.5}}
    named: set[str] = set()
    for index, (field, figure) in enumerate(slices.items()):
        is_category = figure.layout.xaxis.type == "category"
        field_values = {point.trial: sampled_value(point.values[field]) for point in points if field in point.values}
        cell = {"row": 1 + index // columns, "col": 1 + index % columns}
        dots = [*figure.data, *unfinished_points(points, target, field_values)]
        if best is not None and best.trial in field_values:
            data = {"x": [field_values[best.trial]], "y": [best.metrics[target.name]], "hovertext": point_text(best)}
            dots.append(Scatter(data, mode="markers", marker=ring, name=f"best: {best.label}", legendgroup="best"))
        for trace in dots:
            if trace.name == "Feasible Trial":
                trace.hovertext = [point_text(points[number]) for number in trace.marker.color]
                trace.marker = None
            trace.update(_LOOKS.get(trace.name, {}))
            trace.x = [str(x).strip("'") for x in trace.x] if is_category else trace.x  # Optuna quotes words
            trace.showlegend = trace.name not in named
            named.add(trace.name)
            grid.add_trace(trace, **cell)
        order = [text.strip("'") for text in figure.layout.xaxis.categoryarray or ()] or None
        grid.update_xaxes(title=field, type=figure.layout.xaxis.type, categoryarray=order, **cell)
    return grid.update_yaxes(title=next(iter(slices.values())).layout.yaxis.title, col=1)


def finish_parallel(figure: Figure, names: Sequence[str]) -> Figure:
    """Write full field names on several lines, and make the palest lines visible."""
    figure.data = [trace for trace in figure.data if trace.mode == "lines"]  # the rest is the colour bar
    figure.update_traces(opacity=0.8)
    figure.update_traces(line_color=_COLOURS["PRUNED"], selector={"line.dash": "dot"})
    figure.add_scatter(x=[None], y=[None], mode="lines", line_color="rgb(8,48,107)", name="darker: better")
    figure.for_each_annotation(lambda text: text.update(text="unset") if text.text == "None" else None)
    ticks = [name.replace(".", ".<br>").replace(" (", "<br>(") for name in names]
    figure.update_xaxes(ticktext=ticks, showgrid=True, gridcolor=_CONTROL)
    return figure.update_layout(shapes=[], plot_bgcolor="#e5e7eb")


def raise_best(figure: Figure, best: Result, target: Metric) -> None:
    """Draw the line of the best completed point, the outermost on the first axis, over the others."""
    lines = [
        trace for trace in figure.data if trace.line.dash == "solid" and len(trace.x) > 1 and trace.y[0] is not None
    ]
    line = (min if target.goal == "min" else max)(lines, key=lambda trace: trace.y[0])
    line.update(line={"color": _BEST, "width": 3.5}, opacity=1, name=f"best: {best.label}", showlegend=True)
    figure.data = [*(trace for trace in figure.data if trace is not line), line]


def finish_pairs(figure: Figure, names: Sequence[str], points: Sequence[Result]) -> Figure:
    """Sort category axes, and explain the colours in the legend."""
    for number, name in enumerate(names, start=1):
        order = sorted({str(sampled_value(point.values[name])) for point in points if name in point.values})
        figure.update_xaxes(categoryarray=order, selector={"type": "category"}, col=number)
        figure.update_yaxes(categoryarray=order, selector={"type": "category"}, row=number)
    *panels, bar = figure.data
    scale = bar.marker.colorscale
    figure.data = panels
    for name, colour in (("lowest value", scale[0][1]), ("highest value", scale[-1][1])):
        figure.add_scatter(x=[None], y=[None], mode="markers", marker={"color": colour, "size": 9}, name=name)
    return figure


def finish_front(figure: Figure, points: Sequence[Result]) -> Figure:
    """Mark the points of the Pareto front by colour and name."""
    looks = (_look("COMPLETED"), {"name": "Pareto front", "marker": {"color": _BEST, "size": 11}})
    for trace, look in zip(figure.data, looks, strict=True):
        shown = [points[number] for number in trace.marker.color]
        trace.marker = None
        trace.update(look, showlegend=True, text=[point.trial for point in shown])
        trace.update(hovertext=[point_text(point) for point in shown], hovertemplate="%{hovertext}<extra></extra>")
    return figure.update_traces(mode="markers+text", textposition="top right", selector=1)


def finish_timeline(figure: Figure, trials: Sequence[Result]) -> Figure:
    """Write the names of at most 30 trials on their rows."""
    for trace in figure.data:
        texts = [point_text(trials[row]) for row in trace.y]
        trace.update(width=0.7, hovertext=texts, hovertemplate="%{hovertext}<extra></extra>")
    rows = list(range(0, len(trials), -(-len(trials) // 30)))
    names = [trials[row].trial for row in rows]
    figure.update_yaxes(title=None, autorange="reversed", tickvals=rows, ticktext=names)
    return figure.update_xaxes(title="time (UTC)").update_layout(barmode="overlay")


def point_text(point: Result) -> str:
    """Return a trial and its values on one line."""
    return f"{point.trial}: " + ", ".join(f"{name} = {format_value(value)}" for name, value in point.values.items())
