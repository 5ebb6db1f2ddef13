"""Tests of the mean difference, and what each of them generalises over.

Networks are trained under seeds and evaluated on clips. Every network is evaluated on every clip: seeds and clips are
crossed. With d[s, c] = mean + seed[s] + clip[c] + rest[s, c] there are three different questions:

`clips`
    These trained networks, other clips. The differences are averaged over seeds; a unit is a clip. The random
    variation of the trainings counts as part of the effect, so nothing follows for networks trained anew.
`seeds`
    Networks trained anew, these clips. The differences are averaged over clips; a unit is a seed (a block, shared by
    all subjects: one seed gives all of them the same initial weights and order of batches).
`both`
    Networks trained anew and other clips: a claim about a decoder in general. The largest p of three tests: the sign
    flip over seeds, the sign flip over clips, and a t test whose variance is the sum of that of the mean over seeds
    and of the mean over clips, less that of the cells, which both contain, with Welch and Satterthwaite's degrees of
    freedom: Clark's (1973) min F' without its double count. The larger p of the two flips alone is not valid: each
    flip ignores the variance of the other.

Measured rate of false positives at 0.05, 10 seeds and 30 clips, no true effect (2,000 tables; standard error 0.005):

    what varies      over seeds   over clips   larger of the two   both
    rest only        0.045        0.046        0.025               0.024
    seeds            0.050        0.904        0.050               0.043
    clips            0.844        0.050        0.050               0.044
    both alike       0.143        0.171        0.113               0.045

The last column: 4,000 tables; the t test alone, for 6 to 20 seeds and 12 to 60 clips: 0.041 to 0.055 if seeds or clips
vary (with the double count "rest only" is 0.011, and power is lost). A p over clips is therefore
not a statement about a decoder: if trainings differ by chance only, it gives a star to nine of ten null studies.

Subjects and data set are fixed in all three, unless the design varies the data (`platform.statistics.population`).

The sign flips assume that differences are symmetric about zero under the null. The smallest p of the exact test of n
units is 2^(1-n), which is 0.25 for three seeds. Student's t can yield smaller ones, but it assumes normality, which
three values cannot show.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from platform.statistics.paired import Values
from platform.statistics.resampling import Interval

_FLIPPED_UP_TO = 13


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and degrees of freedom; both NaN if they cannot be estimated."""

    mean: float
    error: float
    freedom: float

    def p(self, *, at: float = 0.0) -> float:
        """Two-sided p of Student's t against a true mean `at`; NaN if the error is NaN."""
        return float(2 * special.stdtr(self.freedom, -abs(self._t(at))))

    def p_above(self, bound: float) -> float:
        """One-sided p against a true mean of at most `bound`."""
        return float(special.stdtr(self.freedom, -self._t(bound)))

    def interval(self, *, level: float, unit: str) -> Interval:
        """Student's t interval."""
        half = self.error * float(special.stdtrit(self.freedom, (1 + level) / 2)) if self.error > 0 else self.error
        warning = "" if math.isfinite(self.error) else f"only one value over {unit}: an interval needs at least two"
        return Interval(self.mean - half, self.mean + half, level, "Student t", unit, warning)

    def _t(self, bound: float) -> float:
        distance = self.mean - bound
        if self.error == 0.0:
            return math.copysign(math.inf, distance) if distance != 0.0 else 0.0
        return distance / self.error


def over_units(differences: Values) -> Estimate:
    """Estimate the mean of `differences` [n], one per unit, with the standard error of their spread."""
    n = len(differences)
    if n < 2:
        return Estimate(float(differences.mean()), math.nan, math.nan)
    return Estimate(float(differences.mean()), standard_deviation(differences) / math.sqrt(n), n - 1)


def over_both(differences: Values) -> Estimate:
    """Estimate the mean of `differences` [seeds, clips], both sampled (min F', Clark 1973).

    The variances of the mean over seeds and over clips both contain that of the cells, which is subtracted once. The
    result is never below the larger of the two.
    """
    seeds, clips = over_units(differences.mean(axis=1)), over_units(differences.mean(axis=0))
    error = math.hypot(seeds.error, clips.error)
    if not error > 0.0:  # no spread, or NaN for a single seed or clip
        return Estimate(seeds.mean, error, seeds.freedom)
    cells = _cell_variance(differences)
    variance = max(error**2 - cells, seeds.error**2, clips.error**2)
    parts = (seeds.error**4 / seeds.freedom, clips.error**4 / clips.freedom)
    rest = cells**2 / (seeds.freedom * clips.freedom)
    return Estimate(seeds.mean, math.sqrt(variance), variance**2 / (sum(parts) + rest))


def _cell_variance(differences: Values) -> float:
    """Return the variance of the mean of `differences` [seeds, clips] that is due to the cells alone."""
    by_seed, by_clip = differences.mean(axis=1, keepdims=True), differences.mean(axis=0, keepdims=True)
    rest = differences - by_seed - by_clip + differences.mean()
    return float((rest**2).sum() / ((rest.shape[0] - 1) * (rest.shape[1] - 1)) / rest.size)


def standard_deviation(values: Values) -> float:
    """Standard deviation (n - 1) of `values` [n]; exactly 0 if they differ only by rounding."""
    deviation = float(values.std(ddof=1))
    return 0.0 if deviation <= 1e-12 * float(np.abs(values).max()) else deviation


def wilcoxon_p(differences: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of `differences` [n].

    Zeros are ranked and then dropped (Pratt 1959), so many zeros make p larger. The distribution is scipy's exact one
    up to n = 50 without ties and zeros, that of all 2^n flips up to n = 13 with them, otherwise the normal
    approximation with continuity correction. If all are zero, or there are fewer than two, p is 1.
    """
    if len(differences) < 2 or not differences.any():
        return 1.0
    sizes = np.abs(differences)
    if len(sizes) <= _FLIPPED_UP_TO and (len(np.unique(sizes)) < len(sizes) or not sizes.all()):
        return _flipped_ranks_p(differences)
    return float(stats.wilcoxon(differences, zero_method="pratt", correction=True, method="auto").pvalue)


def _flipped_ranks_p(differences: Values) -> float:
    """Return Wilcoxon's p by all flips of the signs; scipy computes them one by one, which takes seconds."""
    ranks = stats.rankdata(np.abs(differences))
    sums = np.zeros(1)
    for rank in ranks[differences != 0]:
        sums = np.concatenate((sums, sums + rank))
    observed = ranks[differences > 0].sum()
    slack = 1e-9 * float(ranks.sum())
    return float(min(1.0, 2 * min((sums <= observed + slack).mean(), (sums >= observed - slack).mean())))
