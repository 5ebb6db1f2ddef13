"""The tests of a comparison, and which of them a claim rests on: p is the largest of those that its unit needs."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from platform.statistics.attainable import ClaimUnit, smallest_p
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.difference import over_both, wilcoxon_p
from platform.statistics.paired import Values
from platform.statistics.resampling import sign_flip_p

SEEDS_FLIPPED, CLIPS_FLIPPED, T_OVER_BOTH = "sign flip over seeds", "sign flip over clips", "t over seeds and clips"
PRIMARY_TESTS: Mapping[ClaimUnit, tuple[str, ...]] = {
    "seeds": (SEEDS_FLIPPED,),
    "clips": (CLIPS_FLIPPED,),
    "both": (SEEDS_FLIPPED, CLIPS_FLIPPED, T_OVER_BOTH),
}
"""Unit of a claim to its tests, the largest p of which counts."""


def tests_of(
    differences: Values, flipped: Values, plan: ComparisonPlan, rng: np.random.Generator
) -> dict[str, Callable[[], float]]:
    """Return the tests of `differences` [seeds, clusters] by name, each a function to its p.

    Signs are flipped of `flipped`.
    """
    by_seed, by_clip = differences.mean(axis=1), flipped.mean(axis=0)
    return {
        SEEDS_FLIPPED: lambda: float(sign_flip_p(by_seed, rng=rng, resamples=plan.resamples)),
        CLIPS_FLIPPED: lambda: float(sign_flip_p(by_clip, rng=rng, resamples=plan.resamples)),
        T_OVER_BOTH: lambda: over_both(differences).p(),
        "Wilcoxon over seeds": lambda: wilcoxon_p(by_seed),
        "Wilcoxon over clips": lambda: wilcoxon_p(by_clip),
    }


def primary_p(p_values: Mapping[str, float], unit: ClaimUnit) -> float:
    """Return the largest p of the tests that a claim about `unit` needs; NaN without any."""
    if not p_values:
        return math.nan
    # A test that cannot be computed (the spread of one seed is undefined) counts as p = 1.
    return max(1.0 if math.isnan(p_values[name]) else p_values[name] for name in PRIMARY_TESTS[unit])


def smallest_primary_p(flipped: Values, unit: ClaimUnit, resamples: int) -> float:
    """Return the smallest primary p that `flipped` [seeds, clusters] can yield: zeros have no sign to flip."""
    seeds, clips = (smallest_p(int(np.count_nonzero(flipped.mean(axis=axis))), resamples=resamples) for axis in (1, 0))
    return {"seeds": seeds, "clips": clips, "both": max(seeds, clips)}[unit]
