"""Does it make no difference? Two one-sided tests against a margin that was declared beforehand.

That a difference is not significant does not show that there is none. To claim that, one says first how small is
small enough (the margin, in the metric's unit), and rejects both "it is at least that much lower" and "it is at least
that much higher" (TOST: Schuirmann 1987, Lakens 2017). The p is the larger of the two. It is below alpha exactly if
the Student t interval at level 1 - 2 alpha lies within the margin.
"""

from dataclasses import replace

from platform.statistics.difference import Estimate


def tost(estimate: Estimate, *, margin: float) -> float:
    """Return the p of equivalence within plus or minus `margin`; NaN where the estimate has no error.

    Raises:
        ValueError: The margin is not positive.
    """
    if not margin > 0.0:
        raise ValueError(f"an equivalence margin of {margin}: it must be above 0, in the metric's unit")
    mirrored = replace(estimate, mean=-estimate.mean)
    return max(estimate.p_above(-margin), mirrored.p_above(-margin))
