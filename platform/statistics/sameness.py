"""What forbids the verdict `equivalent`, although two one-sided tests reject both differences.

The tests of `platform.statistics.equivalence` assume that the spread of the units is estimated from enough of them, and
that what is missing is missing by chance. Sameness is therefore not concluded

- from fewer seeds or clips than a difference needs (`platform.statistics.attainable`): two trainings that happen to
  agree have a small standard error;
- without spread: if a metric is saturated, both conditions have its largest value whatever they do;
- if the worst cases of the missing trials leave the margin: the trainings that failed may be those that differ.

`floor` is set by the analysis of an ablation: the baseline is at the level of its controls, so nothing could be lost.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from platform.statistics.difference import Estimate
from platform.statistics.missing import Bounds, MissingValues
from platform.statistics.paired import CompleteCases

Reason: TypeAlias = Literal["", "floor", "too few units", "saturated", "identical", "no spread", "missing trials"]
"""Why a comparison is inconclusive; empty if the p-value alone decides."""


def no_spread(data: CompleteCases, estimates: Iterable[Estimate]) -> Reason:
    """Return whether the values, or their differences over a unit of the claim, have no spread; empty if they have.

    `saturated`: all values of both conditions are equal. `identical`: each value equals that of the baseline.
    """
    values = np.stack([data.baseline, data.condition])
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return "saturated"
    if not (data.condition - data.baseline).any():
        return "identical"
    return "no spread" if any(estimate.error == 0.0 for estimate in estimates) else ""


def missing_trials(missing: Sequence[MissingValues], bounds: Bounds, *, margin: float) -> Reason:
    """Return whether missing trials could have moved the difference beyond `margin`; empty if they could not."""
    inside = -margin <= bounds.low and bounds.high <= margin
    return "missing trials" if any(gap.whole_trial for gap in missing) and not inside else ""
