"""Several comparisons at once: Holm's adjustment over the declared family, the stars, and false-discovery rates.

Without adjustment, one of twenty comparisons is "significant" at 0.05 although nothing differs. Holm (1979) keeps the
probability of any false star in the declared family at alpha, for any dependence between the tests: the smallest of m
p values is multiplied by m, the next by m - 1, and so on, never below the previous one. A comparison that could not be
computed still counts in m.

Exploratory comparisons, of which there may be hundreds, earn no star; their false-discovery rates (Benjamini and
Hochberg, 1995) say what share of a list of the smallest p values is expected to be chance.

Tests of difference and tests of equivalence are adjusted as two families, each at alpha.
"""

import math
from collections.abc import Sequence

STARS = ((50, "***"), (5, "**"), (1, "*"))
"""Share of alpha (0.05: 0.001, 0.01, 0.05) and what a p at most as large earns."""


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust the p values of a family. NaN (the test could not be computed) counts as 1 and stays NaN."""
    family = len(p_values)
    order = sorted(range(family), key=lambda i: 1.0 if math.isnan(p_values[i]) else p_values[i])
    adjusted = [math.nan] * family
    largest = 0.0
    for rank, i in enumerate(order):
        if not math.isnan(p_values[i]):
            largest = max(largest, min(1.0, (family - rank) * p_values[i]))
            adjusted[i] = largest
    return tuple(adjusted)


def false_discovery_rates(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return for each p the rate of false discoveries among it and all smaller ones.

    By Benjamini and Hochberg, for independent or positively dependent tests. NaN (the test could not be computed)
    counts as 1 and stays NaN.

    Example:
        >>> false_discovery_rates([0.01, 0.04, 0.02, 0.5])
        (0.04, 0.05333333333333334, 0.04, 0.5)
    """
    tests = len(p_values)
    order = sorted(range(tests), key=lambda i: 1.0 if math.isnan(p_values[i]) else p_values[i])
    rates = [math.nan] * tests
    smallest = 1.0
    for rank in range(tests, 0, -1):
        i = order[rank - 1]
        if not math.isnan(p_values[i]):
            smallest = min(smallest, p_values[i] * tests / rank)
            rates[i] = smallest
    return tuple(rates)


def stars(p_adjusted: float, *, alpha: float) -> str:
    """Return the stars of an adjusted p, at a level of alpha, alpha / 5 and alpha / 50; none for NaN."""
    return next((mark for part, mark in STARS if p_adjusted <= alpha / part), "")
