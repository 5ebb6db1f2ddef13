"""How much better than its true value the best of many noisy values looks, because the luckiest is chosen.

If n values have the same true mean and independent normal errors of standard deviation s, the expected best of them is
better than the mean by s times the expected largest of n standard normal values. With true differences it is less, so
this is the size that chance alone can give, not a correction.
"""

import math

import numpy as np
from scipy import integrate, special

from platform.statistics.paired import Values


def expected_largest(n: int) -> float:
    """Return the expected largest of `n` standard normal values: 0 for one, .564 for two, 1.63 for twelve."""
    if n < 1:
        raise ValueError(f"the largest of {n} values is not defined")

    def density(x: float) -> float:
        return x * n * math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * float(special.ndtr(x)) ** (n - 1)

    value, _ = integrate.quad(
        density, -12.0, 12.0, limit=400, points=[0.0, math.sqrt(2 * math.log(n)) if n > 1 else 1.0]
    )
    return float(value)


def spread_within(values: Values) -> float:
    """Return the pooled standard deviation within the rows of `values` [points, repeats]; NaN for one repeat."""
    if values.shape[0] < 1 or values.shape[1] < 2:
        return math.nan
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def luck_of_the_best(values: Values) -> float:
    """Return by how much chance alone makes the best of `values` [points, repeats] look better; NaN for one repeat.

    A point's value is the mean of its repeats, so its error is the spread within points over the root of their number.
    """
    spread = spread_within(values)
    return spread / math.sqrt(values.shape[1]) * expected_largest(values.shape[0])
