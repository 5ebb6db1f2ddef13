"""Effect sizes of paired values, with intervals.

Cliff's delta is the paired one (d_w, Cliff 1996, "within"): the share of units where the condition is higher minus
the share where it is lower, from -1 to 1. It measures how many clips (or seeds) change and in which direction, not by
how much. It is not the delta of two independent groups, which compares one clip with another. Interval: the adjusted
Wald interval of Bonett and Price (2012) for paired proportions, whose width is above 0 even if all units agree.

Hedges g is the mean difference over a standard deviation, corrected for small samples with the exact factor (Hedges
1981). `g_z` divides by the standard deviation of the differences: it measures how consistent the effect is. `g_av`
divides by the root mean square of the two conditions' standard deviations (Lakens 2013): it compares the effect with
the spread of the units, and can be compared across studies. Intervals invert the noncentral t: exact for `g_z` under
normality; for `g_av` scaled by the ratio of the two standard deviations (Algina and Keselman 2003).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from platform.statistics.difference import standard_deviation
from platform.statistics.paired import Values


@dataclass(frozen=True)
class EffectSize:
    """An estimate with its interval; NaN if it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Effects:
    """Effect sizes over one kind of unit."""

    cliff: EffectSize
    g_z: EffectSize
    g_av: EffectSize


def effects(baseline: Values, condition: Values, *, level: float) -> Effects:
    """Return effect sizes of `condition` against `baseline`, [n] each, one value per unit."""
    g_z, g_av = hedges(baseline, condition, level=level)
    return Effects(cliffs_delta(condition - baseline, level=level), g_z, g_av)


def cliffs_delta(differences: Values, *, level: float) -> EffectSize:
    """Paired Cliff's delta of `differences` [n]: P(d > 0) - P(d < 0)."""
    n = len(differences)
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    share_up, share_down = (up + 1) / (n + 2), (down + 1) / (n + 2)
    centre = share_up - share_down
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((share_up + share_down - centre**2) / (n + 2))
    return EffectSize((up - down) / n, max(-1.0, centre - half), min(1.0, centre + half))


def hedges(baseline: Values, condition: Values, *, level: float) -> tuple[EffectSize, EffectSize]:
    """Hedges g_z and g_av of `condition` against `baseline`, [n] each.

    Returns:
        Both are 0 if the conditions are equal, and NaN if all differences are equal but not 0, or if n < 3.
    """
    n, differences = len(baseline), condition - baseline
    undefined = EffectSize(math.nan, math.nan, math.nan)
    if n < 3:
        return undefined, undefined
    deviation = standard_deviation(differences)
    pooled = math.sqrt((standard_deviation(baseline) ** 2 + standard_deviation(condition) ** 2) / 2)
    if not differences.any():
        return EffectSize(0.0, 0.0, 0.0), EffectSize(0.0, 0.0, 0.0)
    if deviation == 0.0 or pooled == 0.0:
        return undefined, undefined
    mean = float(differences.mean())
    t = mean / deviation * math.sqrt(n)
    low, high = (
        float(special.nctdtrinc(n - 1, share, t)) / math.sqrt(n) for share in ((1 + level) / 2, (1 - level) / 2)
    )
    small = small_sample_factor(n - 1)
    ends = tuple(small * end for end in (mean / deviation, low, high))
    return EffectSize(*ends), EffectSize(*(end * deviation / pooled for end in ends))


def small_sample_factor(freedom: int) -> float:
    """Hedges' exact factor J against small-sample bias, for at least two degrees of freedom."""
    logarithm = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2) - math.log(freedom / 2) / 2
    return float(np.exp(logarithm))
