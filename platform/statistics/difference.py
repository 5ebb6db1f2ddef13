"""Is there a difference at all? Tests of the mean, and what each of them generalises over.

Networks are trained under seeds and judged on clips, and every network sees every clip: seeds and clips are crossed.
With d[s, c] = mean + seed[s] + clip[c] + rest[s, c], three questions can be asked, and they are not the same:

`clips`
    These trained networks, other clips. The differences are averaged over seeds; a unit is a clip. What luck a
    training had counts as part of the effect, so nothing follows for networks trained anew.
`seeds`
    Networks trained anew, these clips. The differences are averaged over clips; a unit is a seed (a block, shared by
    all subjects: one seed gives all of them the same initial weights and order of batches).
`both`
    Networks trained anew and other clips: a claim about a decoder in general. The largest p of three tests: the sign
    flip over seeds, the sign flip over clips, and a t test whose variance is the sum of that of the mean over seeds
    and of the mean over clips with Welch and Satterthwaite's degrees of freedom, which is Clark's (1973) min F'. The
    largest p of the two flips alone would not do: each leaves out the other's variance.

Measured false positives at 0.05, 10 seeds and 30 clips, no true effect (2,000 tables; standard error 0.005):

    what varies      over seeds   over clips   larger of the two   both
    rest only        0.045        0.046        0.025               0.004
    seeds            0.050        0.904        0.050               0.047
    clips            0.844        0.050        0.050               0.049
    both alike       0.143        0.171        0.113               0.059

Of the t test alone, 40,000 tables each for 6 to 20 seeds and 12 to 60 clips: 0.048 to 0.054. So a p over clips must
not be read as a statement about a decoder: where trainings differ by luck alone, it would star nine of ten null
studies.

Subjects are fixed in all three: nothing is said about other people.

The sign flips assume that differences are symmetric about zero under the null. The exact test of n units knows no p
below 2^(1-n), three seeds none below 0.25. Student's t would, by assuming normality that three values cannot show.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import special, stats

from platform.statistics.paired import Values
from platform.statistics.resampling import EXACT_UP_TO, Interval

ClaimUnit: TypeAlias = Literal["clips", "seeds", "both"]
GENERALISES: dict[ClaimUnit, str] = {
    "clips": "other clips, for these trained networks only",
    "seeds": "networks trained anew under other seeds, for these clips only",
    "both": "networks trained anew and other clips",
}


_FLIPPED_UP_TO = 13


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and degrees of freedom; both NaN where they cannot be known."""

    mean: float
    error: float
    freedom: float

    def p(self, *, at: float = 0.0) -> float:
        """Two-sided p of Student's t against a true mean `at`; NaN where the error is not known."""
        return float(2 * special.stdtr(self.freedom, -abs(self._t(at))))

    def p_above(self, bound: float) -> float:
        """One-sided p against a true mean of at most `bound`."""
        return float(special.stdtr(self.freedom, -self._t(bound)))

    def interval(self, *, level: float, over: str) -> Interval:
        """Student's t interval."""
        half = self.error * float(special.stdtrit(self.freedom, (1 + level) / 2)) if self.error > 0 else self.error
        warning = "" if math.isfinite(self.error) else f"one value over {over}: an interval needs two"
        return Interval(self.mean - half, self.mean + half, level, "Student t", over, warning)

    def _t(self, bound: float) -> float:
        distance = self.mean - bound
        if self.error == 0.0:
            return math.copysign(math.inf, distance) if distance != 0.0 else 0.0
        return distance / self.error


def over_units(differences: Values) -> Estimate:
    """Mean of `differences` [n], one per unit, by their own spread."""
    n = len(differences)
    if n < 2:
        return Estimate(float(differences.mean()), math.nan, math.nan)
    return Estimate(float(differences.mean()), spread(differences) / math.sqrt(n), n - 1)


def over_both(differences: Values) -> Estimate:
    """Mean of `differences` [seeds, clips], both sampled (min F', Clark 1973); its error is never too small."""
    seeds, clips = over_units(differences.mean(axis=1)), over_units(differences.mean(axis=0))
    error = math.hypot(seeds.error, clips.error)
    if not error > 0.0:
        return Estimate(seeds.mean, error, seeds.freedom)
    freedom = error**4 / (seeds.error**4 / seeds.freedom + clips.error**4 / clips.freedom)
    return Estimate(seeds.mean, error, freedom)


def spread(values: Values) -> float:
    """Standard deviation (n - 1) of `values` [n]; exactly 0 where they differ only by rounding."""
    found = float(values.std(ddof=1))
    return 0.0 if found <= 1e-12 * float(np.abs(values).max()) else found


def wilcoxon_p(differences: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of `differences` [n].

    Zeros take part in the ranking and are then dropped (Pratt 1959), so that many of them count against a difference.
    scipy's exact distribution up to n = 50 without ties and zeros, all 2^n flips up to n = 13 with them, otherwise the
    normal approximation with continuity correction. All zeros, or nothing: p = 1.
    """
    if not differences.any():
        return 1.0
    sizes = np.abs(differences)
    if len(sizes) <= _FLIPPED_UP_TO and (len(np.unique(sizes)) < len(sizes) or not sizes.all()):
        return _flipped_ranks_p(differences)
    return float(stats.wilcoxon(differences, zero_method="pratt", correction=True, method="auto").pvalue)


def _flipped_ranks_p(differences: Values) -> float:
    """Return Wilcoxon's p by all flips of the signs; scipy makes them one by one, which takes seconds."""
    ranks = stats.rankdata(np.abs(differences))
    sums = np.zeros(1)
    for rank in ranks[differences != 0]:
        sums = np.concatenate((sums, sums + rank))
    found = ranks[differences > 0].sum()
    slack = 1e-9 * float(ranks.sum())
    return float(min(1.0, 2 * min((sums <= found + slack).mean(), (sums >= found - slack).mean())))


def smallest_p(units: int, *, resamples: int = 9999) -> float:
    """Return the smallest two-sided p that a sign-flip test of `units` non-zero differences can yield."""
    if units < 1:
        return 1.0
    return 2.0 ** (1 - units) if units <= EXACT_UP_TO else max(2.0 ** (1 - units), 1.0 / (1.0 + resamples))


def seeds_for(alpha: float, family: int) -> int:
    """Return the fewest seeds whose smallest p is below `alpha` after Holm's correction for `family` comparisons.

    All of the family may sit at the smallest p, so it must hold for the first: family x 2^(1-n) <= alpha. Five seeds
    never do at 0.05; six do for one comparison, seven for two and three, nine for up to twelve.
    """
    return 1 + math.ceil(math.log2(family / alpha) - 1e-9)


def unattainable(unit: ClaimUnit, *, seeds: int, clips: int, alpha: float, family: int) -> str:
    """Say why a design can never show a difference, and what would; empty if it can."""
    needed = seeds_for(alpha, family)
    problems = []
    for name, units in (("seeds", seeds), ("clips", clips)):
        if unit in (name, "both") and units < needed:
            smallest = smallest_p(units)
            problems.append(
                f"{units} {name} allow no p below {smallest:g}, but a family of {family} at {alpha:g} needs one of "
                f"{alpha / family:g}: {needed} {name} would do"
            )
    return "; ".join(problems)


def default_unit(*, seeds: int, clips: int, alpha: float, family: int) -> ClaimUnit:
    """Return the most demanding unit that the design can attain: `both`, or else `clips`.

    To be called on the design, before anything is known of the results. `seeds` is never chosen by default: where seeds
    suffice, clips nearly always do, and then both are asked for.
    """
    return "clips" if unattainable("both", seeds=seeds, clips=clips, alpha=alpha, family=family) else "both"
