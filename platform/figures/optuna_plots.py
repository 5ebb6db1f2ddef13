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
from platform.figures.study_data import StudyData, last_value, with_goal
from platform.record.optuna_study import STATES, distributions, in_memory, quiet
from platform.record.results import Result, controls
from platform.study.domains import sampled_values
from trainables.metrics.metric import Metric

MIN_TRIALS = 4
"""The smallest number of completed points for which importance is computed: it compares the best points with all."""
_BEST = 5
"""The smallest number of best points that Optuna recommends for the comparison."""
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


def importances(data: StudyData, target: Metric) -> dict[str, float]:
    """Return each field's share of the importance (PED-ANOVA: best points against all), with conditional fields.

    Empty for fewer than `ENOUGH` points, and for fewer than two fields that vary: a single one has the whole share.
    Source: Watanabe et al. 2023, https://arxiv.org/abs/2304.10255; conditional fields: https://arxiv.org/abs/2601.20800.
    """
    study, names = _completed(data, target)
    equal = len({trial.value for trial in study.trials}) < 2
    if too_few(data, target) is not None or len(names) < 2 or equal:
        return {}
    with quiet():
        return dict(optuna.importance.get_param_importances(study, evaluator=_evaluator(study), params=names))


def too_few(data: StudyData, target: Metric) -> str | None:
    """Return why there are too few points for `importances`; None if there are enough."""
    count = len(_completed_points(data, target))
    return (
        f"Parameter importance needs {MIN_TRIALS} completed points; there are {count}." if count < MIN_TRIALS else None
    )


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
    if not importances(data, target):
        return None
    study, names = _completed(data, target)
    plot = visualization.plot_param_importances(study, _evaluator(study), names, target_name=target.name)
    figure = overlay.restyle(plot, height=150 + 34 * len(names)).update_traces(showlegend=False)
    return figure.update_xaxes(title="share of the importance (PED-ANOVA)").update_yaxes(title=None)


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
    names = list(importances(data, target))[:_PAIRED]
    if len(names) < _PAIRED:
        return None
    study, _ = _completed(data, target)
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


def _evaluator(study: optuna.Study) -> optuna.importance.BaseImportanceEvaluator:
    part = min(0.5, max(0.1, _BEST / len(study.trials)))
    return optuna.importance.PedAnovaImportanceEvaluator(target_quantile=part)


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
