"""The search space of a study: domains, conditions, constraints and points to try first."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from platform.study.constraints import Constraint
from platform.study.domains import AnyDomain, Domain, Suggester, Value, is_same_value
from trainables.config.trial import TrialConfig, flatten, resolve

Point = dict[str, Value]
"""Swept field to value; a field whose condition does not hold is absent."""
MAX_GRID = 10_000
"""The largest number of points that are listed."""


@dataclass(frozen=True)
class Space:
    """The swept fields, their domains and their constraints."""

    domains: Mapping[str, AnyDomain]
    """Dotted field to domain, every field after those that its `when` names."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Dotted overrides for all points."""
    constraints: tuple[Constraint, ...] = ()
    points: tuple[Point, ...] = ()
    """Complete and allowed points that are tried first."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The swept fields."""
        return tuple(self.domains)

    def is_active(self, name: str, values: Mapping[str, Value]) -> bool:
        """Return whether the condition of the field `name` holds, given the `values` of the fields before it."""
        return all(
            other in values and any(is_same_value(values[other], value) for value in allowed)
            for other, allowed in self.domains[name].when.items()
        )

    def suggest(self, suggester: Suggester) -> Point:
        """Return a point whose values `suggester` chooses; it may violate a constraint."""
        values: Point = {}
        for name, domain in self.domains.items():
            if self.is_active(name, values):
                values[name] = domain.suggest(name, suggester)
        return values

    def config(self, values: Mapping[str, Value]) -> TrialConfig:
        """Return the full config of a point. Raises `pydantic.ValidationError` if the values are not valid."""
        return resolve({**self.base, **values})

    def fields_of(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return the JSON value of every field of a point's full config, by dotted name."""
        return flatten(self.config(values).model_dump(mode="json"))

    def violated(self, values: Mapping[str, Value]) -> str | None:
        """Return the constraint or the check of the config that a point violates, as text, or None."""
        try:
            config = self.config(values)
        except ValidationError as error:
            return "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        config_values = flatten(config.model_dump()) if self.constraints else {}
        for constraint in self.constraints:
            try:
                holds = constraint.holds(config_values)
            except ValueError as error:
                return str(error)
            if not holds:
                return constraint.text
        return None

    def size(self) -> int | None:
        """Return the number of points of the grid without conditions and constraints; None if it is infinite."""
        total = 1
        for domain in self.domains.values():
            if domain.size is None:
                return None
            total *= domain.size
        return total

    @property
    def is_listed(self) -> bool:
        """Whether the space is finite and so small that all its points are looked at."""
        size = self.size()
        return size is not None and size <= MAX_GRID

    def grid(self) -> list[Point]:
        """Return all allowed points of a space with a finite `size`: first the points to try first, then the others."""
        return list(self._grid)

    @cached_property
    def _grid(self) -> tuple[Point, ...]:
        points: list[Point] = [{}]
        for name, domain in self.domains.items():
            points = [extended for point in points for extended in self._extend(point, name, domain)]
        remaining = [point for point in points if point not in self.points and self.violated(point) is None]
        return (*self.points, *remaining)

    def _extend(self, point: Point, name: str, domain: Domain) -> Iterator[Point]:
        if not self.is_active(name, point):
            yield point
            return
        for value in domain.values():
            yield {**point, name: value}


@dataclass(frozen=True)
class RandomSuggester:
    """Draws all values at random, for checks and tests."""

    generator: random.Random

    def choice(self, name: str, options: tuple[Value, ...]) -> Value:
        """Return one of `options`."""
        return self.generator.choice(options)

    def uniform(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        """Return a number in the range; `log` and `step` are ignored, since checks do not need the distribution."""
        return min(high, max(low, self.generator.uniform(low, high)))

    def integer(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return an integer in the range."""
        return self.generator.randrange(low, high + 1, step)
