"""Missing values of a comparison, their reasons, and worst-case bounds.

Leaving out failed trials is only harmless if failing has nothing to do with the condition, which nobody can see from
what is left. So every gap is listed with its reason, and beside the difference stand the two it would be if each
missing value were as bad, or as good, for the condition as the metric allows (the worst-case bounds of Manski 1990
and Horowitz and Manski 2000). Where a metric's range has no end, the most extreme observed value stands for it, and
this is said.

A clip for which no trial of either condition has a value (a metric that is undefined for that stimulus) is outside
what is compared and does not widen the bounds.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from platform.statistics.paired import NOT_RECORDED, Arm, Paired, TableIndex, Values


@dataclass(frozen=True)
class Missing:
    """Values that one trial lacks for one reason."""

    arm: Arm
    subject: str
    seed: int
    reason: str
    clips: int
    whole_trial: bool
    """Whether the trial has no value at all."""


@dataclass(frozen=True)
class Bounds:
    """The mean difference if all missing values were at their worst, whichever way."""

    low: float
    high: float
    assumed: str
    """What stands for a missing value."""


def missing(paired: Paired) -> tuple[Missing, ...]:
    """List the gaps of a table, one entry per trial and reason."""
    found: Counter[tuple[Arm, int, int, str]] = Counter()
    arms: tuple[tuple[Arm, Values], ...] = (("baseline", paired.baseline), ("condition", paired.condition))
    whole = {arm: np.asarray(np.isnan(values).all(axis=2)) for arm, values in arms}
    for arm, values in arms:
        for u, s, c in np.argwhere(np.isnan(values)).tolist():
            found[arm, u, s, paired.reasons.get(TableIndex(arm, u, s, c), NOT_RECORDED)] += 1
    return tuple(
        Missing(arm, paired.subjects[u], paired.seeds[s], reason, count, bool(whole[arm][u, s]))
        for (arm, u, s, reason), count in found.items()
    )


def worst_case(paired: Paired) -> Bounds:
    """Return the least and the greatest mean difference that the missing values allow, over all planned cells."""
    both = np.stack([paired.baseline, paired.condition])
    defined = np.asarray(np.isfinite(both).any(axis=(0, 1, 2)))
    if not defined.any():
        return Bounds(np.nan, np.nan, "nothing was observed")
    both = both[..., defined]
    gaps = np.isnan(both)
    low, high, assumed = _range(paired, both)
    least, most = np.where(gaps, low, both), np.where(gaps, high, both)
    return Bounds(
        float((least[1] - most[0]).mean()),
        float((most[1] - least[0]).mean()),
        assumed if gaps.any() else "nothing is missing",
    )


def _range(paired: Paired, observed: Values) -> tuple[float, float, str]:
    ends, words = [], []
    metric = paired.metric
    for end, extreme in ((metric.low, np.nanmin(observed)), (metric.high, np.nanmax(observed))):
        ends.append(float(end if np.isfinite(end) else extreme))
        words.append(f"{ends[-1]:g} ({'end of the range' if np.isfinite(end) else 'most extreme observed'})")
    return ends[0], ends[1], " or ".join(words)
