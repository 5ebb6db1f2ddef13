"""Resampling: flips of signs for p values, bootstraps for intervals.

Sign flips. If a condition changes nothing, each paired difference is equally likely to have the other sign. The mean
is compared with the means under all 2^n choices of signs (Fisher 1935), or a random sample of them, to which the
observed one is added so that p is never 0: p = (1 + k) / (1 + N) (Phipson and Smyth 2010).

BCa. The bias-corrected and accelerated bootstrap (Efron 1987, by scipy).

Crossed bootstrap. Subjects, seeds and clips are resampled independently, and every combination of the drawn ones
counts (the pigeonhole bootstrap of Owen 2007, percentile interval). It includes all sources of random variation.

Both bootstrap intervals are too narrow over few units: `COVERAGE` holds the measured coverage, and an interval over few
units has a warning with that number. For skewed differences (exponential; 2,000 tables) BCa covers 0.67 over 3 units,
0.80 over 5, 0.87 over 10, 0.91 over 20. Student's t then covers 0.89, 0.88, 0.89 and 0.91; for normal differences it
covers its nominal 0.95 over any number of units.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from platform.statistics.attainable import EXACT_UP_TO
from platform.statistics.paired import Values

COVERAGE = {2: 0.5, 3: 0.72, 4: 0.79, 5: 0.83, 6: 0.86, 8: 0.88, 10: 0.90, 15: 0.92, 20: 0.93}
"""Units to the measured coverage of a nominal 0.95 interval of the mean of normal differences, the lower of BCa's and
the percentile's; 0.94 at 30. 10,000 tables each, 2,000 resamples; the tests repeat it with fewer."""
ENOUGH_UNITS = 30
"""The number of units from which a bootstrap interval needs no warning."""
_CHUNK = 2**22
"""Largest number of values in memory at a time."""
_TIE = 1e-12
"""Means that differ by less, relative to the mean absolute difference, differ only by rounding."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of the mean difference, or of an effect size."""

    low: float
    high: float
    level: float
    method: str
    unit: str
    """What is resampled. The interval does not generalise over what is held fixed."""
    warning: str = ""


def sign_flip_p(differences: Values, *, rng: np.random.Generator, resamples: int = 9999) -> Values:
    """Two-sided p of the sign-flip test of the mean.

    Args:
        differences: One per unit, [..., n]. Zeros count as units.
        rng: Draws the flips if n is above `EXACT_UP_TO`; not used otherwise.
        resamples: Number of flips that are drawn.

    Returns:
        p, [...]: exact for n up to `EXACT_UP_TO`; 1 for n = 1.
    """
    n = differences.shape[-1]
    rows = differences.reshape(-1, n)
    observed = np.abs(rows.mean(axis=1)) - _TIE * np.abs(rows).mean(axis=1)
    if n <= EXACT_UP_TO:
        signs = _all_signs(n)
        return _as_extreme(rows, observed, signs).reshape(differences.shape[:-1]) / len(signs)
    exceeding = np.zeros(len(rows))
    at_a_time = max(1, _CHUNK // n)
    for start in range(0, resamples, at_a_time):
        size = (min(at_a_time, resamples - start), n)
        exceeding += _as_extreme(rows, observed, rng.choice(np.array([-1.0, 1.0]), size))
    return (1.0 + exceeding.reshape(differences.shape[:-1])) / (1.0 + resamples)


def _all_signs(n: int) -> Values:
    """Return one of each pair of opposite choices of signs, [2^(n-1), n]; the other has the same absolute mean."""
    bits = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
    return (1 - 2 * bits).astype(np.float64)


def _as_extreme(rows: Values, observed: Values, signs: Values) -> Values:
    """Count the flips whose absolute mean is at least `observed`, [rows]."""
    counts = np.zeros(len(rows))
    at_a_time = max(1, _CHUNK // len(signs))
    for start in range(0, len(rows), at_a_time):
        part = slice(start, start + at_a_time)
        means = np.abs(rows[part] @ signs.T) / rows.shape[1]
        counts[part] = (means >= observed[part, None]).sum(axis=1)
    return counts


def under_coverage(n: int, unit: str) -> str:
    """Return a warning with the measured coverage of a bootstrap interval over few units; empty for enough units."""
    if n >= ENOUGH_UNITS:
        return ""
    measured = max(size for size in COVERAGE if size <= n)
    return f"a bootstrap over {n} {unit} is too narrow: a 95% interval covers about {COVERAGE[measured]:.0%}"


def bca_interval(
    differences: Values, *, unit: str, level: float, rng: np.random.Generator, resamples: int = 4999
) -> Interval:
    """BCa interval of the mean of `differences` [n]; NaN for fewer than two, of width 0 if all are equal."""
    n = len(differences)
    if n < 2:
        return Interval(math.nan, math.nan, level, "BCa", unit, f"only {n} {unit}: an interval needs at least two")
    warning = under_coverage(n, unit)
    if np.ptp(differences) == 0.0:
        return Interval(float(differences[0]), float(differences[0]), level, "BCa", unit, warning)
    low, high = bca_ends(differences, level=level, rng=rng, resamples=resamples)
    return Interval(float(low), float(high), level, "BCa", unit, warning)


def bca_ends(differences: Values, *, level: float, rng: np.random.Generator, resamples: int) -> tuple[Values, Values]:
    """Ends of the BCa interval of the mean over the last axis, [...] each."""
    batch = max(1, _CHUNK // differences.size)
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=batch,
        axis=-1,
        confidence_level=level,
        method="BCa",
        rng=rng,
        vectorized=True,
    ).confidence_interval
    return interval.low, interval.high


def crossed_interval(differences: Values, *, level: float, rng: np.random.Generator, resamples: int = 4999) -> Interval:
    """Percentile interval of the mean of `differences` [subjects, seeds, clips].

    Each axis is resampled, except one of size 1, which is held fixed and not named in `unit`.
    """
    sizes = {name: n for name, n in zip(("subjects", "seeds", "clips"), differences.shape, strict=True) if n > 1}
    unit = " x ".join(sizes)
    warning = "; ".join(filter(None, (under_coverage(n, name) for name, n in sizes.items())))
    means = crossed_means(differences, rng=rng, resamples=resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "crossed bootstrap, percentile", unit, warning)


def crossed_means(differences: Values, *, rng: np.random.Generator, resamples: int) -> Values:
    """Return the means of `differences` [subjects, seeds, clips] under `resamples` crossed draws, [resamples]."""
    subjects, seeds, clips = (_weights(n, resamples, rng) for n in differences.shape)
    by_clip = np.einsum("usc,rc->rus", differences, clips, optimize=True)
    return np.asarray(np.einsum("rus,ru,rs->r", by_clip, subjects, seeds, optimize=True))


def _weights(n: int, resamples: int, rng: np.random.Generator) -> Values:
    """Return how often each of `n` units is drawn in n draws, as a share, [resamples, n]."""
    indices = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(indices.ravel(), minlength=resamples * n).reshape(resamples, n) / n
