"""Importance of swept fields (PED-ANOVA), with what chance alone gives, and its spread.

PED-ANOVA compares where the best points lie with where all points lie, field by field: a divergence of 0 means that the
best points lie as all points do. Source: Watanabe et al. 2023, https://arxiv.org/abs/2304.10255; conditional fields:
https://arxiv.org/abs/2601.20800. Points that were stopped early count with their last value: they lie among all points,
and their last value, at fewer epochs, is why they were stopped.

Chance. The values are shuffled over the points, which leaves no field important. The null line is the level that the
largest of all fields passes in 5 % of shuffles. Without it a study of pure noise has a "most important field", too:
shares of a total always have a largest one.

Spread. Importance is computed again for random subsets of four fifths of the points.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from platform.figures.study_data import StudyData, last_value
from platform.record.optuna_study import distributions, in_memory, quiet
from platform.record.results import Result
from platform.study.domains import sampled_values
from trainables.metrics.metric import Metric

FEWEST_POINTS = 2
POINTS_PER_FIELD = 10
"""With fewer points per field the figure says that it cannot be trusted."""
ALPHA = 0.05
_SHUFFLES = 39
"""So that the level is exact: the line is passed by 2 of 40 orders, the observed one among them."""
_SUBSETS, _SUBSET, _TAIL = 20, 0.8, 1
"""Number and size of the subsets, and how many of them lie beyond either end of the spread: 5 %."""
_BEST = 5
"""The smallest number of best points that Optuna recommends for the comparison."""


@dataclass(frozen=True)
class FieldImportance:
    """The importance of one field, as a share of the sum over all fields."""

    field: str
    share: float
    low: float
    """90 % of the subsets lie between `low` and `high`, in the same unit."""
    high: float


@dataclass(frozen=True)
class Importance:
    """The importance of all fields for one target, the largest first."""

    fields: tuple[FieldImportance, ...]
    null: float
    """The null line, in the unit of the shares; it may lie above 1."""
    points: int
    stopped_early: int
    """How many of the points count with the last value before they were stopped."""

    @property
    def warning(self) -> str:
        """Why the importance cannot be trusted; empty if it can."""
        wanted = POINTS_PER_FIELD * len(self.fields)
        if self.points >= wanted:
            return ""
        return f"cannot be trusted: {self.points} points for {len(self.fields)} fields; {wanted} are wanted"

    @property
    def above_null(self) -> tuple[str, ...]:
        """The fields above the null line."""
        return tuple(field.field for field in self.fields if field.share > self.null)


def importances(data: StudyData, target: Metric) -> dict[str, float]:
    """Return each field's share of the importance, the largest first; empty if `why_none` has a reason."""
    return {} if why_none(data, target) is not None else _Points(data, target).shares()[0]


def importance(data: StudyData, target: Metric) -> Importance | None:
    """Return the importance with its null line and spread; None if `why_none` has a reason."""
    if why_none(data, target) is not None:
        return None
    points, rng = _Points(data, target), random.Random(0)
    shares, scale = points.shares()
    largest = sorted(max(points.importance(points.shuffled(rng)).values()) for _ in range(_SHUFFLES))
    subsets = [points.importance(points.some(rng)) for _ in range(_SUBSETS)]
    spread = {name: sorted(scale * subset[name] for subset in subsets) for name in shares}
    fields = tuple(
        FieldImportance(name, share, spread[name][_TAIL], spread[name][-1 - _TAIL]) for name, share in shares.items()
    )
    null = scale * largest[math.ceil((1 - ALPHA) * (_SHUFFLES + 1)) - 1]
    early = sum(point.outcome == "PRUNED" for point in points.points)
    return Importance(fields, null, len(points.points), early)


def why_none(data: StudyData, target: Metric) -> str | None:
    """Return why there is no importance: too few points, fields or values; None if there is one."""
    points = data.valued([target])
    if len(points) < FEWEST_POINTS:
        return (
            f"Parameter importance needs {FEWEST_POINTS} points with a value of {target.name}; there are {len(points)}."
        )
    if len(data.varying(points)) < 2:
        return "Parameter importance compares fields, but fewer than two vary."
    if len({last_value(point, target) for point in points}) < 2:
        return f"Parameter importance is undefined: all points have the same {target.name}."
    return None


class _Points:
    """The points with a value, as an Optuna study whose losses can be exchanged."""

    def __init__(self, data: StudyData, target: Metric) -> None:
        self.points: Sequence[Result] = data.valued([target])
        self._names = data.varying(self.points)
        sign = -1.0 if target.goal == "max" else 1.0
        values = [last_value(point, target) for point in self.points]
        self.losses = [sign * value for value in values if value is not None]
        self._study = in_memory([target])
        with quiet():
            for point in self.points:
                self._study.add_trial(_completed(data, point))

    def importance(self, losses: Sequence[float]) -> Mapping[str, float]:
        """Return the divergence of each field; points with the loss NaN are left out."""
        count = sum(not math.isnan(loss) for loss in losses)
        part = min(0.5, max(0.1, _BEST / count))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=part)
        loss_of: Callable[[FrozenTrial], float] = lambda trial: losses[trial.number]  # noqa: E731
        with quiet():
            return evaluator.evaluate(self._study, self._names, target=loss_of)

    def shares(self) -> tuple[dict[str, float], float]:
        """Return each field's share of the divergence, the largest first, and the factor that makes shares of it."""
        raw = self.importance(self.losses)
        total = sum(raw.values())
        shares = {name: value / total if total > 0 else 1 / len(raw) for name, value in raw.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1])), 1 / total if total > 0 else 1.0

    def shuffled(self, rng: random.Random) -> list[float]:
        """Return the losses in another order."""
        return rng.sample(self.losses, len(self.losses))

    def some(self, rng: random.Random) -> list[float]:
        """Return the losses of four fifths of the points, at least two, and NaN for the others."""
        count = len(self.losses)
        kept = set(rng.sample(range(count), max(FEWEST_POINTS, round(_SUBSET * count))))
        return [loss if index in kept else math.nan for index, loss in enumerate(self.losses)]


def _completed(data: StudyData, point: Result) -> FrozenTrial:
    return optuna.trial.create_trial(
        value=0.0, params=sampled_values(point.values), distributions=distributions(data.domains, point.values)
    )
