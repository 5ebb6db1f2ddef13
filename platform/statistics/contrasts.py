"""Contrasts between conditions: one against another, main effects and interactions of a factorial, Shapley values.

A contrast is the difference of two weighted means of conditions, paired by subject, seed and clip. It becomes a paired
table, so it is tested as every other comparison, outside the declared family: exploratory.

Effects of a factorial are those of Box, Hunter and Hunter (2005, ch. 5): a main effect is the mean at one level minus
the mean at the first level, over all combinations of the other fields; a two-field interaction is half the difference
between the effect of one field at the two levels of the other. With all other fields at two levels, these are twice the
coefficients of a linear model with levels coded -1 and 1.

Shapley values (Shapley 1953) share out the difference between the whole system and none of its components: a
component's value is its mean contribution over all orders in which components can be added.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import factorial
from typing import Any, TypeAlias

import numpy as np

from platform.statistics.paired import PairedTable, Values
from trainables.metrics.metric import Metric

_Weights: TypeAlias = Mapping[str, float]
"""Condition to its weight. The weights sum to 1."""


@dataclass(frozen=True)
class Contrast:
    """The weighted mean of the conditions `plus` minus that of the conditions `minus`."""

    name: str
    plus: _Weights
    minus: _Weights

    def __post_init__(self) -> None:
        for side in (self.plus, self.minus):
            if abs(sum(side.values()) - 1.0) > 1e-9 or min(side.values(), default=-1.0) < 0.0:
                raise ValueError(f"{self.name}: weights must not be negative and must sum to 1, but are {dict(side)}")


def between(condition: str, other: str) -> Contrast:
    """Return the contrast of `condition` minus `other`."""
    return Contrast(f"{condition} against {other}", {condition: 1.0}, {other: 1.0})


def factorial_effects(
    fields: Mapping[str, Sequence[Any]], cells: Mapping[tuple[Any, ...], str]
) -> tuple[Contrast, ...]:
    """Return the main effects of a full factorial, then its interactions of two fields.

    Args:
        fields: Field to its levels. Levels other than the first are compared with the first.
        cells: One level per field, in their order, to the condition with these levels.

    Raises:
        ValueError: A combination of levels has no condition.
    """
    if missing := [cell for cell in product(*fields.values()) if cell not in cells]:
        raise ValueError(f"the factorial has no condition with {', '.join(map(str, missing[0]))}")
    names = list(fields)
    return (*_main_effects(names, fields, cells), *_interactions(names, fields, cells))


def _main_effects(
    names: Sequence[str], fields: Mapping[str, Sequence[Any]], cells: Mapping[tuple[Any, ...], str]
) -> Iterator[Contrast]:
    for index, name in enumerate(names):
        first, *others = fields[name]
        for level in others:
            sides = ([cells[cell] for cell in cells if cell[index] == value] for value in (level, first))
            yield Contrast(f"{name}: {level} against {first}", *map(_mean_of, sides))


def _interactions(
    names: Sequence[str], fields: Mapping[str, Sequence[Any]], cells: Mapping[tuple[Any, ...], str]
) -> Iterator[Contrast]:
    for a, b in combinations(range(len(names)), 2):
        (first_a, *others_a), (first_b, *others_b) = fields[names[a]], fields[names[b]]
        for level_a, level_b in product(others_a, others_b):
            both = {(level_a, level_b), (first_a, first_b)}
            single = {(level_a, first_b), (first_a, level_b)}
            sides = ([cells[cell] for cell in cells if (cell[a], cell[b]) in pairs] for pairs in (both, single))
            yield Contrast(f"{names[a]} {level_a} x {names[b]} {level_b}", *map(_mean_of, sides))


def _mean_of(conditions: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for condition in conditions:
        weights[condition] = weights.get(condition, 0.0) + 1.0 / len(conditions)
    return weights


def shapley_contrasts(components: Sequence[str], with_components: Mapping[frozenset[str], str]) -> tuple[Contrast, ...]:
    """Return the Shapley value of each component as a contrast. The values sum to "all components" minus "none".

    Args:
        components: The components of the system.
        with_components: Each set of components to the condition in which exactly these are present.

    Raises:
        ValueError: A set of components has no condition.
    """
    n = len(components)
    contrasts = []
    for component in components:
        others = [other for other in components if other != component]
        plus: dict[str, float] = {}
        minus: dict[str, float] = {}
        for size in range(n):
            weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
            for present in map(frozenset, combinations(others, size)):
                for side, key in ((plus, present | {component}), (minus, present)):
                    if key not in with_components:
                        listed = ", ".join(sorted(key)) if key else "no component"
                        raise ValueError(f"there is no condition with exactly: {listed}")
                    name = with_components[key]
                    side[name] = side.get(name, 0.0) + weight
        contrasts.append(Contrast(component, plus, minus))
    return tuple(contrasts)


def contrast_table(
    contrast: Contrast,
    values: Mapping[str, Values],
    metric: Metric,
    axes: tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]],
    *,
    clusters: tuple[str, ...] = (),
) -> PairedTable:
    """Return the paired table of a contrast: `minus` as baseline, `plus` as condition.

    A cell without a value in any of its conditions is NaN on that side.

    Args:
        contrast: The contrast.
        values: Condition to values [subjects, seeds, clips].
        metric: The metric of the values.
        axes: Subjects, seeds and clips.
        clusters: Cluster of each clip; empty if every clip is on its own.
    """
    minus, plus = (_weighted(values, side) for side in (contrast.minus, contrast.plus))
    return PairedTable(contrast.name, metric, minus, plus, *axes, clusters=clusters)


def _weighted(values: Mapping[str, Values], weights: _Weights) -> Values:
    return np.asarray(sum(weight * values[condition] for condition, weight in weights.items()), dtype=np.float64)
