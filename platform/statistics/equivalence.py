"""Test of equivalence: two one-sided tests (TOST) against a margin that is declared before the results exist.

A difference that is not significant does not show that there is none. To show equivalence, a margin is declared in the
metric's unit, and both "at least that much lower" and "at least that much higher" are rejected (TOST: Schuirmann 1987,
Lakens 2017). The p is the larger of the two. It is below alpha exactly if the Student t interval at level 1 - 2 alpha
lies within the margin.
"""

from dataclasses import replace

from platform.statistics.difference import Estimate


def tost(estimate: Estimate, *, margin: float) -> float:
    """Return the p of equivalence within plus or minus `margin`; NaN if the estimate has no standard error.

    Raises:
        ValueError: The margin is not positive.
    """
    if not margin > 0.0:
        raise ValueError(f"equivalence margin {margin}: must be above 0, in the metric's unit")
    mirrored = replace(estimate, mean=-estimate.mean)
    return max(estimate.p_above(-margin), mirrored.p_above(-margin))
