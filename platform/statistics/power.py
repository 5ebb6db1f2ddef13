"""How many seeds does an effect need? An answer from a pilot.

A pilot is a table of paired differences [seeds, clips]. Its analysis of variance tells how much differences vary
between seeds, between clips, and between the cells beyond both. For a number of seeds, studies with the stated effect
are made from those three normal components (from the sufficient statistics of the tests, not cell by cell) and judged
as `platform.statistics.difference` would, at alpha divided by the family (Bonferroni: what Holm asks of the first).
Power is the share of them that reach significance. Sign flips of more than 12 seeds are replaced by Student's t,
which they approach.

Two limits are respected: fewer seeds than `seeds_for` never can, and where the variance between clips alone hides the
effect, no number of seeds will do.

A pilot's spread is itself uncertain, with few seeds very much so. Beside the plain answer therefore stands a cautious
one, which takes the upper 80% limit of the spread between seeds (Browne 1995).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from platform.statistics.difference import ClaimUnit, seeds_for, unattainable
from platform.statistics.paired import Values
from platform.statistics.resampling import sign_flip_p

MOST_SEEDS = 100
CAUTION = 0.8
_SIMULATED = 2000
_FLIPPED_UP_TO = 12


@dataclass(frozen=True)
class Aim:
    """What a study is to find."""

    effect: float
    """The mean difference, in the metric's unit."""
    alpha: float = 0.05
    power: float = 0.8
    family: int = 1
    unit: ClaimUnit = "both"

    def __post_init__(self) -> None:
        if not (0 < self.alpha < self.power < 1 and self.family >= 1 and math.isfinite(self.effect) and self.effect):
            raise ValueError(f"{self}: needs 0 < alpha < power < 1, a family of at least 1 and an effect other than 0")


@dataclass(frozen=True)
class Spread:
    """Variances of paired differences: between seeds, between clips, and of the cells beyond both."""

    seeds: float
    clips: float
    rest: float


@dataclass(frozen=True)
class SeedPlan:
    """How many seeds a study needs."""

    seeds: int | None
    """None if `MOST_SEEDS` are not enough."""
    cautious: int | None
    """The same if the pilot's spread between seeds is at its upper 80% limit."""
    fewest: int
    """Below this no p is small enough, whatever the effect."""
    power: Mapping[int, float]
    """Number of seeds to power, for those tried."""
    spread: Spread
    explanation: str


def seeds_needed(pilot: Values, aim: Aim, *, seed: int = 0) -> SeedPlan:
    """Return the fewest seeds with which `aim.effect` is found with probability `aim.power`.

    Args:
        pilot: Paired differences [seeds, clips]; `Complete.differences` of a finished comparison. A number of a trial
            as a whole has one column, and can be asked about for the unit `seeds` alone.
        aim: Effect, level and unit.
        seed: Of the simulation.

    Raises:
        ValueError: Fewer than two seeds or clips: their spread cannot be known.
    """
    if pilot.shape[1] == 1 and aim.unit != "seeds":
        raise ValueError(f"a pilot of one clip tells nothing of other clips, but the unit is {aim.unit}")
    fewest = 1 if aim.unit == "clips" else seeds_for(aim.alpha, aim.family)
    spread = components(pilot)
    seeds, power = _search(spread, pilot.shape[1], aim, np.random.default_rng(seed))
    wider = upper_limit(spread, pilot.shape)
    cautious, _ = _search(wider, pilot.shape[1], aim, np.random.default_rng(seed))
    hopeless = unattainable("clips", seeds=0, clips=pilot.shape[1], alpha=aim.alpha, family=aim.family)
    if seeds is None and aim.unit != "seeds" and hopeless:
        explanation = hopeless
    elif seeds is None:
        more = "more clips are needed, or " if aim.unit != "seeds" else ""
        explanation = f"{MOST_SEEDS} seeds reach a power of {power[MOST_SEEDS]:.2f}: {more}a larger effect"
    else:
        explanation = f"{seeds} seeds reach a power of {power[seeds]:.2f}"
    return SeedPlan(seeds, cautious, fewest, power, spread, explanation)


def components(pilot: Values) -> Spread:
    """Estimate the variance components of `pilot` [seeds, clips] from its mean squares; negative ones are set to 0.

    All variance of a single column is taken for that between seeds.
    """
    seeds, clips = pilot.shape
    if seeds < 2 or clips < 1:
        raise ValueError(f"a pilot of {seeds} seeds and {clips} clips: at least 2 of each show a spread")
    by_seed, by_clip = pilot.mean(axis=1), pilot.mean(axis=0)
    if clips == 1:
        return Spread(float(by_seed.var(ddof=1)), 0.0, 0.0)
    residual = pilot - by_seed[:, None] - by_clip + pilot.mean()
    rest = float((residual**2).sum() / ((seeds - 1) * (clips - 1)))
    return Spread(
        max(0.0, float(by_seed.var(ddof=1)) - rest / clips),
        max(0.0, float(by_clip.var(ddof=1)) - rest / seeds),
        rest,
    )


def upper_limit(spread: Spread, shape: tuple[int, ...]) -> Spread:
    """Return `spread` with the seeds' variance at its upper limit for a pilot of `shape` [seeds, clips]."""
    seeds, clips = shape
    mean_variance = spread.seeds + spread.rest / clips
    widest = mean_variance * (seeds - 1) / float(stats.chi2.ppf(1 - CAUTION, seeds - 1))
    return replace(spread, seeds=widest - spread.rest / clips)


def _search(spread: Spread, clips: int, aim: Aim, rng: np.random.Generator) -> tuple[int | None, dict[int, float]]:
    fewest = 1 if aim.unit == "clips" else seeds_for(aim.alpha, aim.family)
    power = {MOST_SEEDS: power_of(spread, shape=(MOST_SEEDS, clips), aim=aim, rng=rng)}
    if power[MOST_SEEDS] < aim.power:
        return None, power
    for seeds in range(fewest, MOST_SEEDS):
        power[seeds] = power_of(spread, shape=(seeds, clips), aim=aim, rng=rng)
        if power[seeds] >= aim.power:
            return seeds, power
    return MOST_SEEDS, power


def power_of(spread: Spread, *, shape: tuple[int, int], aim: Aim, rng: np.random.Generator) -> float:
    """Probability that a study of `shape` [seeds, clips] finds `aim.effect`, by simulation."""
    seeds, clips = shape
    level = aim.alpha / aim.family
    all_clips = rng.normal(aim.effect, math.sqrt(spread.clips / clips), (_SIMULATED, 1))
    by_seed = all_clips + rng.normal(0.0, math.sqrt(spread.seeds + spread.rest / clips), (_SIMULATED, seeds))
    mean = by_seed.mean(axis=1)
    # Squared standard errors of the mean, and their degrees of freedom.
    of_clips = (spread.clips + spread.rest / seeds) / clips * _chi_square(max(1, clips - 1), rng)
    p = np.zeros(_SIMULATED)
    if aim.unit in ("clips", "both"):
        if unattainable("clips", seeds=seeds, clips=clips, alpha=aim.alpha, family=aim.family):
            return 0.0
        p = _t_p(mean, of_clips, np.full(_SIMULATED, clips - 1.0))
    if aim.unit in ("seeds", "both"):
        of_seeds = by_seed.var(axis=1, ddof=1) / seeds
        flips = seeds <= _FLIPPED_UP_TO
        p_seeds = sign_flip_p(by_seed, rng=rng) if flips else _t_p(mean, of_seeds, np.full(_SIMULATED, seeds - 1.0))
        p = np.maximum(p, p_seeds)
        if aim.unit == "both":
            total = of_seeds + of_clips
            freedom = total**2 / (of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1))
            p = np.maximum(p, _t_p(mean, total, freedom))
    return float((p <= level).mean())


def _chi_square(freedom: int, rng: np.random.Generator) -> Values:
    return rng.chisquare(freedom, _SIMULATED) / freedom


def _t_p(mean: Values, variance: Values, freedom: Values) -> Values:
    return np.asarray(2 * stats.t.sf(np.abs(mean) / np.sqrt(variance), freedom))
