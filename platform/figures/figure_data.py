"""What every figure of a study is made from, and how its parts look, whatever library draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from platform.figures.axes import Axis, Kind, axis, label
from platform.figures.parameter_importance import importances
from platform.record.results import Result, averaged, outcomes, ranked
from trainables.metrics.registry import Metric

COLOURS = {"COMPLETED": "#3b6ea5", "PRUNED": "#8a9099", "FAILED": "#c0392b", "best": "#e08a1e", "control": "#4b5563"}
"""Told apart by colour-blind readers too; markers differ as well."""
WORDS = {"COMPLETED": "completed", "PRUNED": "stopped early", "FAILED": "failed"}


@dataclass(frozen=True)
class StudyPlot:
    """The results of a study, and the axes of its swept fields."""

    study: str
    targets: Sequence[Metric]
    trials: Sequence[Result]
    points: Sequence[Result]
    """The trials averaged over repeats."""
    axes: Mapping[str, Axis]
    """Swept field to its axis, in the order of the search space; only fields that took several values."""

    @cached_property
    def importances(self) -> dict[Metric, dict[str, float]]:
        """Each target's importances of the swept fields, where there are several to compare."""
        shares = {target: importances(self.points, target, self.axes) for target in self.targets}
        return {target: share for target, share in shares.items() if len(share) > 1}

    @property
    def best(self) -> Result | None:
        """The best point, by the first target where there are several."""
        order = ranked(self.points, self.targets)
        return order[0] if order else None

    @property
    def ended(self) -> list[Result]:
        """The points that ended, in that order."""
        return sorted(
            (point for point in self.points if point.outcome), key=lambda point: (point.finished, point.trial)
        )

    @property
    def counted(self) -> str:
        """What a history counts, in words."""
        repeats = max((point.repeats for point in self.points), default=1)
        return "trials ended" if repeats == 1 else f"points ended (means of {repeats} seeds)"

    @property
    def counts(self) -> str:
        """How the trials ended, in words."""
        counts = outcomes(self.trials)
        words = {"completed": "completed", "pruned": "stopped early", "failed": "failed", "unfinished": "unfinished"}
        return f"{len(self.trials)} trials: " + ", ".join(f"{counts[k]} {w}" for k, w in words.items() if counts[k])


def study_plot(
    study: str, targets: Sequence[Metric], trials: Sequence[Result], *, kinds: Mapping[str, Kind] | None = None
) -> StudyPlot:
    """Gather what the figures need; `kinds` are the scales of swept fields, judged from the values where absent."""
    points = averaged(trials)
    rows = [point.values for point in points]
    scales = kinds if kinds is not None else {}
    axes = {name: axis(name, rows, kind=scales.get(name)) for name in dict.fromkeys(n for row in rows for n in row)}
    several = {name: one for name, one in axes.items() if one.varies}
    return StudyPlot(study, tuple(targets), tuple(trials), points, several)


def with_goal(target: Metric) -> str:
    """Return the target's name and which way is better."""
    return f"{target.name} ({'lower' if target.goal == 'min' else 'higher'} is better)"


def last_value(result: Result, target: Metric) -> float | None:
    """Return where a trial stands on a value axis: its result or, if it was stopped early, its last value."""
    value = result.metrics.get(target.name) if result.outcome == "PRUNED" else result.value(target)
    return value if value is not None and abs(value) < float("inf") else None


def described(result: Result) -> str:
    """Return a trial and its values on one line."""
    return f"{result.trial}: " + ", ".join(f"{name} = {label(value)}" for name, value in result.values.items())
