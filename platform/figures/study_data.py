"""The data of a study's figures: its points, in the order in which they ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

from platform.record.results import Result, averaged, counts_text, divided, ranked
from platform.study.domains import AnyDomain
from platform.study.outcome_constraints import OutcomeConstraint
from trainables.metrics.metric import Metric


@dataclass(frozen=True)
class StudyData:
    """The results of a study and its search space."""

    study: str
    targets: Sequence[Metric]
    domains: Mapping[str, AnyDomain]
    """Swept field to its values."""
    trials: Sequence[Result]
    outcome_constraints: Sequence[OutcomeConstraint] = ()

    @cached_property
    def points(self) -> tuple[Result, ...]:
        """The points that ended, in the order of their ends: trials averaged over repeats."""
        ended = [point for point in averaged(self.trials) if point.outcome]
        return tuple(sorted(ended, key=lambda point: (point.finished, point.trial)))

    @cached_property
    def best(self) -> Result | None:
        """The best point that satisfies the outcome constraints, by the first target if there are several."""
        allowed, _ = divided(self.points, self.outcome_constraints)
        return next(iter(ranked(allowed, self.targets)), None)

    @property
    def counted(self) -> str:
        """Label of the axis of a history: what is counted."""
        repeats = max((point.repeats for point in self.points), default=1)
        return "trials ended" if repeats == 1 else f"points ended (means of {repeats} seeds)"

    @property
    def counts(self) -> str:
        """The number of trials of each outcome, as text."""
        return counts_text(self.trials)

    def valued(self, targets: Sequence[Metric]) -> list[Result]:
        """Return the points with a value for all `targets`, including points that were stopped early."""
        return [point for point in self.points if all(last_value(point, target) is not None for target in targets)]

    def varying(self, points: Sequence[Result]) -> list[str]:
        """Return the swept fields with several values among `points`, in the order of the search space."""
        values_of = {
            name: {repr(point.values[name]) for point in points if name in point.values} for name in self.domains
        }
        return [name for name, values in values_of.items() if len(values) > 1]


def last_value(point: Result, target: Metric) -> float | None:
    """Return the result of a completed point, or the last value of a point that was stopped early, or None."""
    value = point.metrics.get(target.name) if point.outcome == "PRUNED" else point.value(target)
    return value if value is not None and isfinite(value) else None


def with_goal(target: Metric) -> str:
    """Return the name of the target and the direction of better values."""
    return f"{target.name} ({'lower' if target.goal == 'min' else 'higher'} is better)"
