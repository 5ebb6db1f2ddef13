"""The figures of a study: Optuna's plots of its points, as plotly figures.

Optuna draws only completed trials. Points that were stopped early or failed are added to history and slices.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState
from plotly.graph_objects import Figure

from platform.figures import overlay
from platform.figures.importance import importance, importances
from platform.figures.study_data import StudyData, last_value, with_goal
from platform.record.optuna_study import STATES, distributions, in_memory, quiet, set_constraints
from platform.record.results import Result, controls
from platform.study.domains import sampled_values
from trainables.metrics.metric import Metric

_RANKED = 4
"""The smallest number of completed points that are drawn in pairs."""
_PAIRED = 3
"""The number of most important fields that are drawn in pairs: more panels are too small to read."""


@dataclass(frozen=True)
class StudyFigure:
    """One figure with its name and title."""

    name: str
    """Stem of its file."""
    title: str
    figure: Figure


def draw_plots(data: StudyData) -> Iterator[StudyFigure]:
    """Yield the figures. A single point or fields that never vary give none."""
    with quiet():
        for target in data.targets:
            suffix = f".{target.name}" if len(data.targets) > 1 else ""
            for name, (title, plot) in _PER_TARGET.items():
                if (figure := plot(data, target)) is not None:
                    yield StudyFigure(name + suffix, f"{title}: {target.name}", figure)
        for name, (title, plot_all) in _OF_ALL.items():
            if (figure := plot_all(data)) is not None:
                yield StudyFigure(name, title, figure)


def _history(data: StudyData, target: Metric) -> Figure | None:
    if not data.valued([target]):
        return None
    study = _study(data, [target], data.points)
    figure = overlay.restyle(visualization.plot_optimization_history(study, target_name=with_goal(target)))
    overlay.finish_history(figure, data.points, {} if data.best is None else controls(data.best, target))
    trials = {point.trial: number for number, point in enumerate(data.points, start=1)}
    figure.add_traces(overlay.unfinished_points(data.points, target, trials))
    return figure.update_xaxes(title=data.counted)


def _importance(data: StudyData, target: Metric) -> Figure | None:
    found = importance(data, target)
    return (
        None if found is None else overlay.restyle(overlay.draw_importance(found), height=190 + 34 * len(found.fields))
    )


def _slices(data: StudyData, target: Metric) -> Figure | None:
    study = _study(data, [target], data.points)
    fields = {name for trial in study.get_trials(states=[TrialState.COMPLETE]) for name in trial.params}
    names = [name for name in data.varying(data.valued([target])) if name in fields]
    if not names:
        return None
    slices = {name: visualization.plot_slice(study, [name], target_name=with_goal(target)) for name in names}
    figure = overlay.join_slices(slices, data.points, target, best=data.best)
    return overlay.restyle(figure, height=150 + 270 * -(-len(names) // overlay.SLICE_COLUMNS))


def _pairs(data: StudyData, target: Metric) -> Figure | None:
    study, varying = _completed(data, target)
    names = [name for name in importances(data, target) if name in varying][:_PAIRED]
    if len(names) < _PAIRED or len(study.trials) < _RANKED:
        return None
    plot = overlay.restyle(visualization.plot_rank(study, names, target_name=target.name), height=1000)
    return overlay.finish_pairs(plot, names, data.points)


def _parallel(data: StudyData) -> Figure | None:
    points = data.valued(data.targets)
    names, titles = sorted(data.varying(points)), [with_goal(target) for target in data.targets]
    if len(points) < 2 or not names:
        return None
    study = _study(data, data.targets, points, with_pruned=True)
    plot = visualization.plot_parallel_coordinate(study, names, target_name=titles[0])
    figure = overlay.finish_parallel(overlay.restyle(plot, height=520), [*titles, *names])
    if len(titles) == 1 and data.best is not None:
        overlay.raise_best(figure, data.best, data.targets[0])
    return figure


def _pareto(data: StudyData) -> Figure | None:
    targets = data.targets[:2]
    points = [point for point in data.valued(targets) if point.outcome == "COMPLETED"]
    if len(targets) < 2 or len(points) < 2:
        return None
    names = [with_goal(target) for target in targets]
    plot = visualization.plot_pareto_front(_study(data, targets, points), target_names=names)
    return overlay.finish_front(overlay.restyle(plot, height=520), points)


def _timeline(data: StudyData) -> Figure | None:
    trials = [trial for trial in data.trials if trial.outcome]
    if len(trials) < 2:
        return None
    plot = visualization.plot_timeline(_study(data, data.targets, trials))
    return overlay.finish_timeline(overlay.restyle(plot, height=200 + 8 * min(len(trials), 60)), trials)


_PER_TARGET: Mapping[str, tuple[str, Callable[[StudyData, Metric], Figure | None]]] = {
    "history": ("Optimisation history", _history),
    "importance": ("Parameter importance", _importance),
    "slices": ("Slices", _slices),
    "pairs": ("The most important fields in pairs, coloured by rank", _pairs),
}
_OF_ALL: Mapping[str, tuple[str, Callable[[StudyData], Figure | None]]] = {
    "parallel": ("Parallel coordinates", _parallel),
    "pareto": ("Pareto front", _pareto),
    "timeline": ("Timeline", _timeline),
}


def _completed_points(data: StudyData, target: Metric) -> list[Result]:
    return [point for point in data.points if point.value(target) is not None]


def _completed(data: StudyData, target: Metric) -> tuple[optuna.Study, list[str]]:
    """Return an Optuna study of the completed points, and the fields that vary among them."""
    points = _completed_points(data, target)
    return _study(data, [target], points), data.varying(points)


def _study(
    data: StudyData, targets: Sequence[Metric], results: Sequence[Result], *, with_pruned: bool = False
) -> optuna.Study:
    """Return an Optuna study of `results`, in their order.

    With `early`, points that were stopped early are infeasible trials with their last value, so that Optuna draws them
    differently.
    """
    study = in_memory(targets)
    with_pruned = with_pruned and any(result.outcome == "PRUNED" for result in results)
    for result in results:
        values = [value for target in targets if (value := last_value(result, target)) is not None]
        takes_part = len(values) == len(targets) and (with_pruned or result.outcome == "COMPLETED")
        trial = _frozen(data, result, values if takes_part else None)
        if with_pruned:
            trial.set_constraint("stopped early", float(result.outcome == "PRUNED"))
        if takes_part:
            set_constraints(trial, {each.text: each.excess(result.metrics) for each in data.outcome_constraints})
        study.add_trial(trial)
    return study


def _frozen(data: StudyData, result: Result, values: Sequence[float] | None) -> FrozenTrial:
    """Return `result` as a trial of Optuna. Its state is COMPLETE if `values` are given."""
    state_without_values = TrialState.FAIL if result.outcome == "COMPLETED" else STATES[str(result.outcome)]
    trial = optuna.trial.create_trial(
        state=state_without_values if values is None else TrialState.COMPLETE,
        values=values,
        params=sampled_values(result.values),
        distributions=distributions(data.domains, result.values),
    )
    trial.datetime_complete = datetime.datetime.fromtimestamp(result.finished, datetime.UTC)
    trial.datetime_start = trial.datetime_complete - datetime.timedelta(seconds=result.seconds)
    return trial
