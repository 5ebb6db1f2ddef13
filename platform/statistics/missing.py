"""Missing values of a comparison, their reasons, and worst-case bounds.

Leaving out failed trials is harmless only if failure is independent of the condition, which the remaining values
cannot show. Therefore every gap is listed with its reason, and the difference is reported with worst-case bounds
(Manski 1990, Horowitz and Manski 2000): the differences if each missing value were as bad, or as good, for the
condition as the metric's range allows. If the range has no end, the most extreme observed value replaces it, and
`Bounds.assumed` says so.

A clip for which no trial of either condition has a value (the metric is undefined for that stimulus) is not compared
and does not widen the bounds.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from platform.statistics.paired import NOT_RECORDED, PairedTable, Side, TableIndex, Values


@dataclass(frozen=True)
class MissingValues:
    """Missing values of one trial with one reason."""

    side: Side
    subject: str
    seed: int
    reason: str
    clips: int
    whole_trial: bool
    """Whether the trial has no value at all."""


@dataclass(frozen=True)
class Bounds:
    """The mean difference if all missing values were as bad, or as good, for the condition as possible."""

    low: float
    high: float
    assumed: str
    """The values assumed for missing ones, in words."""
    is_of_range: bool = True
    """Whether both are ends of the metric's range. If not, values beyond the observed ones could give wider bounds."""


def missing_values(paired: PairedTable) -> tuple[MissingValues, ...]:
    """List the gaps of a table, one entry per trial and reason."""
    counts: Counter[tuple[Side, int, int, str]] = Counter()
    sides: tuple[tuple[Side, Values], ...] = (("baseline", paired.baseline), ("condition", paired.condition))
    missing_trials = {side: np.asarray(np.isnan(values).all(axis=2)) for side, values in sides}
    for side, values in sides:
        for u, s, c in np.argwhere(np.isnan(values)).tolist():
            counts[side, u, s, paired.reasons.get(TableIndex(side, u, s, c), NOT_RECORDED)] += 1
    return tuple(
        MissingValues(side, paired.subjects[u], paired.seeds[s], reason, count, bool(missing_trials[side][u, s]))
        for (side, u, s, reason), count in counts.items()
    )


def worst_case(paired: PairedTable) -> Bounds:
    """Return the smallest and largest mean difference that the missing values allow, over all planned cells."""
    arrays = np.stack([paired.baseline, paired.condition])
    defined = np.asarray(np.isfinite(arrays).any(axis=(0, 1, 2)))
    if not defined.any():
        return Bounds(np.nan, np.nan, "nothing was observed")
    arrays = arrays[..., defined]
    gaps = np.isnan(arrays)
    low, high, assumed = _range(paired, arrays)
    lowest, highest = np.where(gaps, low, arrays), np.where(gaps, high, arrays)
    return Bounds(
        float((lowest[1] - highest[0]).mean()),
        float((highest[1] - lowest[0]).mean()),
        assumed if gaps.any() else "nothing is missing",
        bool(np.isfinite([paired.metric.low, paired.metric.high]).all()),
    )


def _range(paired: PairedTable, observed: Values) -> tuple[float, float, str]:
    ends, bounds_text = [], []
    metric = paired.metric
    for end, extreme in ((metric.low, np.nanmin(observed)), (metric.high, np.nanmax(observed))):
        ends.append(float(end if np.isfinite(end) else extreme))
        bounds_text.append(f"{ends[-1]:g} ({'end of the range' if np.isfinite(end) else 'most extreme observed'})")
    return ends[0], ends[1], " or ".join(bounds_text)
