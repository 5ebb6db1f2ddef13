"""Power analysis: the number of seeds that an effect needs, estimated from a pilot.

A pilot is a table of paired differences [seeds, clips]; where clips lie in clusters, these take the place of clips. Its
analysis of variance estimates how much differences vary between seeds, between clips, and between the cells beyond
both. For a number of seeds, studies with the stated effect are simulated from these three normal components (from the
sufficient statistics of the tests, not cell by cell) and tested as in `platform.statistics.difference`, at alpha
divided by the family (Bonferroni: Holm's level for the first). Power is the share of significant studies. Sign flips of
more than 12 seeds are replaced by Student's t, which they approach.

There are two limits: fewer seeds than `seeds_for` never reach significance, and if the variance between clips alone
hides the effect, no number of seeds is enough.

A pilot with few seeds estimates the spread with large uncertainty. Therefore there is also a cautious number, which
uses the upper 80% limit of the spread between seeds (Browne 1995).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from platform.statistics.attainable import ClaimUnit, seeds_for, unattainable
from platform.statistics.paired import Values
from platform.statistics.resampling import sign_flip_p

MOST_SEEDS = 100
"""The largest number of seeds that is tried."""
CAUTION = 0.8
"""Confidence level of the upper limit of the spread between seeds."""
_SIMULATED = 2000
_FLIPPED_UP_TO = 12


@dataclass(frozen=True)
class PowerTarget:
    """The effect that a study must be able to show, its level and its power."""

    effect: float
    """The mean difference, in the metric's unit."""
    alpha: float = 0.05
    power: float = 0.8
    family: int = 1
    unit: ClaimUnit = "both"
    clustered: str = "clip"
    """What the clips of a cluster share; the pilot then has a column for each cluster."""

    def __post_init__(self) -> None:
        if not (0 < self.alpha < self.power < 1 and self.family >= 1 and math.isfinite(self.effect) and self.effect):
            raise ValueError(f"{self}: needs 0 < alpha < power < 1, a family of at least 1 and an effect other than 0")


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of paired differences: between seeds, between clips, and between the cells beyond both."""

    seeds: float
    clips: float
    residual: float


@dataclass(frozen=True)
class SeedPlan:
    """How many seeds a study needs."""

    seeds: int | None
    """None if `MOST_SEEDS` are not enough."""
    cautious: int | None
    """The same if the pilot's spread between seeds is at its upper 80% limit."""
    fewest_seeds: int
    """With fewer seeds no p is small enough, for any effect."""
    power: Mapping[int, float]
    """Number of seeds to power, for the numbers that were tried."""
    spread: VarianceComponents
    explanation: str


def seeds_needed(pilot: Values, aim: PowerTarget, *, seed: int = 0) -> SeedPlan:
    """Return the smallest number of seeds with which `aim.effect` is significant with probability `aim.power`.

    Args:
        pilot: Paired differences [seeds, clips]; `CompleteCases.differences` of a finished comparison. A metric of the
            whole trial has one column and allows only the unit `seeds`.
        aim: Effect, level, power, family and unit.
        seed: Seed of the simulation.

    Raises:
        ValueError: There are fewer than two seeds or clips: their spread cannot be estimated.
    """
    if pilot.shape[1] == 1 and aim.unit != "seeds":
        raise ValueError(f"the pilot has one {aim.clustered}, but the unit {aim.unit} needs the spread of at least 2")
    fewest_seeds = 1 if aim.unit == "clips" else seeds_for(aim.alpha, aim.family)
    spread = variance_components(pilot)
    seeds, power = _search(spread, pilot.shape[1], aim, np.random.default_rng(seed))
    wider = cautious_components(spread, pilot.shape)
    cautious, _ = _search(wider, pilot.shape[1], aim, np.random.default_rng(seed))
    too_few_clips = unattainable(
        "clips", seeds=0, clips=pilot.shape[1], alpha=aim.alpha, family=aim.family, clustered=aim.clustered
    )
    if seeds is None and aim.unit != "seeds" and too_few_clips:
        explanation = too_few_clips
    elif seeds is None:
        clips_advice = f"more {aim.clustered}s are needed, or " if aim.unit != "seeds" else ""
        explanation = f"{MOST_SEEDS} seeds reach a power of {power[MOST_SEEDS]:.2f}: {clips_advice}a larger effect"
    else:
        explanation = f"{seeds} seeds reach a power of {power[seeds]:.2f}"
    return SeedPlan(seeds, cautious, fewest_seeds, power, spread, explanation)


def variance_components(pilot: Values) -> VarianceComponents:
    """Estimate the variance components of `pilot` [seeds, clips] from its mean squares; negative ones are set to 0.

    The whole variance of a single column counts as variance between seeds.
    """
    seeds, clips = pilot.shape
    if seeds < 2 or clips < 1:
        raise ValueError(f"the pilot has {seeds} seeds and {clips} clips: their spread needs at least 2 of each")
    by_seed, by_clip = pilot.mean(axis=1), pilot.mean(axis=0)
    if clips == 1:
        return VarianceComponents(float(by_seed.var(ddof=1)), 0.0, 0.0)
    residual = pilot - by_seed[:, None] - by_clip + pilot.mean()
    residual_variance = float((residual**2).sum() / ((seeds - 1) * (clips - 1)))
    return VarianceComponents(
        max(0.0, float(by_seed.var(ddof=1)) - residual_variance / clips),
        max(0.0, float(by_clip.var(ddof=1)) - residual_variance / seeds),
        residual_variance,
    )


def cautious_components(spread: VarianceComponents, shape: tuple[int, ...]) -> VarianceComponents:
    """Return `spread` with the seeds' variance at its upper limit for a pilot of `shape` [seeds, clips]."""
    seeds, clips = shape
    mean_variance = spread.seeds + spread.residual / clips
    widest = mean_variance * (seeds - 1) / float(stats.chi2.ppf(1 - CAUTION, seeds - 1))
    return replace(spread, seeds=widest - spread.residual / clips)


def _search(
    spread: VarianceComponents, clips: int, aim: PowerTarget, rng: np.random.Generator
) -> tuple[int | None, dict[int, float]]:
    fewest_seeds = 1 if aim.unit == "clips" else seeds_for(aim.alpha, aim.family)
    power = {MOST_SEEDS: simulated_power(spread, shape=(MOST_SEEDS, clips), aim=aim, rng=rng)}
    if power[MOST_SEEDS] < aim.power:
        return None, power
    for seeds in range(fewest_seeds, MOST_SEEDS):
        power[seeds] = simulated_power(spread, shape=(seeds, clips), aim=aim, rng=rng)
        if power[seeds] >= aim.power:
            return seeds, power
    return MOST_SEEDS, power


def simulated_power(
    spread: VarianceComponents, *, shape: tuple[int, int], aim: PowerTarget, rng: np.random.Generator
) -> float:
    """Return the simulated probability that `aim.effect` is significant in a study of `shape` [seeds, clips]."""
    seeds, clips = shape
    level = aim.alpha / aim.family
    all_clips = rng.normal(aim.effect, math.sqrt(spread.clips / clips), (_SIMULATED, 1))
    by_seed = all_clips + rng.normal(0.0, math.sqrt(spread.seeds + spread.residual / clips), (_SIMULATED, seeds))
    mean = by_seed.mean(axis=1)
    # Squared standard errors of the mean, and their degrees of freedom.
    of_clips = (spread.clips + spread.residual / seeds) / clips * _chi_square(max(1, clips - 1), rng)
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
            cells = np.full(_SIMULATED, spread.residual / (seeds * clips))
            total = np.maximum(of_seeds + of_clips - cells, np.maximum(of_seeds, of_clips))
            parts = of_seeds**2 / (seeds - 1) + of_clips**2 / (clips - 1)
            freedom = total**2 / (parts + cells**2 / ((seeds - 1) * (clips - 1)))
            p = np.maximum(p, _t_p(mean, total, freedom))
    return float((p <= level).mean())


def _chi_square(freedom: int, rng: np.random.Generator) -> Values:
    return rng.chisquare(freedom, _SIMULATED) / freedom


def _t_p(mean: Values, variance: Values, freedom: Values) -> Values:
    return np.asarray(2 * stats.t.sf(np.abs(mean) / np.sqrt(variance), freedom))
