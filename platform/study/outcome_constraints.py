"""Constraints on outcomes: metrics that must stay within a bound, which is known only after a point has run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import model_validator

from trainables.config.base import Config
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS


class Bound(Config):
    """The values of a metric that are allowed."""

    at_most: float | None = None
    """Largest value of the metric that is allowed."""
    at_least: float | None = None
    """Smallest value of the metric that is allowed."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("names no bound; set at_most or at_least")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(f"allows no value: at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self


@dataclass(frozen=True)
class OutcomeConstraint:
    """A metric and its bound. Points that violate it rank after all points that satisfy it."""

    metric: Metric
    bound: Bound

    @property
    def text(self) -> str:
        """The constraint as an inequality: `evaluate.epe <= 0.5`."""
        low, high = self.bound.at_least, self.bound.at_most
        lower = f"{low:g} <= " if low is not None and high is not None else ""
        upper = f" >= {low:g}" if high is None else f" <= {high:g}"
        return f"{lower}{self.metric.name}{upper}"

    def excess(self, metrics: Mapping[str, float]) -> float:
        """Return by how much `metrics` exceed the bound, 0 or less if they keep it; inf without a finite value.

        This is the value that Optuna calls a constraint.
        """
        value = metrics.get(self.metric.name, math.nan)
        if not math.isfinite(value):
            return math.inf
        above = -math.inf if self.bound.at_most is None else value - self.bound.at_most
        below = -math.inf if self.bound.at_least is None else self.bound.at_least - value
        return max(above, below)

    def to_json(self) -> dict[str, Any]:
        """Return the bound as plain JSON values, as in a file."""
        return self.bound.model_dump(mode="json", exclude_none=True)


def recorded_outcome_constraints(definition: Mapping[str, Any]) -> tuple[OutcomeConstraint, ...]:
    """Return the outcome constraints of a recorded definition, as far as this version knows their metrics."""
    bounds = definition.get("outcome_constraints", {})
    return tuple(
        OutcomeConstraint(METRICS[name], Bound.model_validate(bound))
        for name, bound in bounds.items()
        if name in METRICS
    )


def violated_by(metrics: Mapping[str, float], constraints: Iterable[OutcomeConstraint]) -> tuple[str, ...]:
    """Return the `constraints` that `metrics` violate, as texts."""
    return tuple(each.text for each in constraints if each.excess(metrics) > 0)
