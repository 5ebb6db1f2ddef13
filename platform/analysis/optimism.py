"""By how much a search was too good: its values against those of the same points, trained anew under fresh seeds.

The best of many values is chosen partly because chance favoured it, so it is better than what the same config yields
again (the winner's curse). The value of the search is taken as it is; the interval is that of the mean over
fresh seeds.

A point that nothing chose, the baseline, can be too good as well: all points of a search share its seeds, and a seed
can be a lucky one for all. What the choice did is then seen in the lead over the baseline, before and after.
"""

from dataclasses import dataclass

import numpy as np

from platform.analysis.collect import AblationResult
from platform.analysis.findings import MeanInterval, mean_interval
from platform.analysis.measures import Measure, measure_named
from platform.analysis.per_clip import Floats
from platform.study.design import BASELINE
from platform.study.search_origin import SearchOrigin


@dataclass(frozen=True)
class Optimism:
    """One point in the search, and trained anew."""

    condition: str
    searched: float
    """The value of the search."""
    confirmed: MeanInterval
    """The same metric under fresh seeds."""
    too_good_by: MeanInterval
    """How much better the search's value is than the fresh mean; negative if the fresh mean is better."""
    seeds: int
    """Number of fresh seeds with a value."""
    as_good: int
    """In how many of them the fresh training is at least as good as the value of the search."""
    gain_searched: float
    """How much better than the baseline the point was in the search; NaN if the baseline has no value there."""
    gain_confirmed: MeanInterval
    """The same under fresh seeds, paired by seed."""


@dataclass(frozen=True)
class SearchCheck:
    """A search against its confirmation."""

    origin: SearchOrigin
    measure: Measure
    points: tuple[Optimism, ...]
    """The points that the search measured, in the order of the search's values: best first, the baseline last."""


def search_check(result: AblationResult) -> SearchCheck | None:
    """Return the check of the sweep that chose the conditions of `result`; None if no sweep did.

    Raises:
        UserError: This version does not have the metric of the sweep.
    """
    origin = result.registration.search
    if origin is None:
        return None
    measure = measure_named(origin.metric)
    values = result.scalars(origin.metric)
    sign = 1.0 if measure.metric.goal == "max" else -1.0
    level = 1 - result.design.alpha
    names = sorted(origin.values, key=lambda name: (name == BASELINE, -sign * origin.values[name]))
    points = tuple(_optimism(origin, values, name, sign=sign, level=level) for name in names)
    return SearchCheck(origin, measure, points)


def _optimism(origin: SearchOrigin, values: dict[str, Floats], name: str, *, sign: float, level: float) -> Optimism:
    searched, base = float(origin.values[name]), origin.values.get(BASELINE)
    fresh = values[name]
    kept = np.isfinite(fresh)
    paired = (fresh - values[BASELINE]) * sign
    return Optimism(
        condition=name,
        searched=searched,
        confirmed=_over_seeds(fresh, level),
        too_good_by=_over_seeds((searched - fresh) * sign, level),
        seeds=int(kept.any(axis=0).sum()),
        as_good=int((np.nanmean(fresh[:, kept.any(axis=0)], axis=0) * sign >= searched * sign).sum()),
        gain_searched=float("nan") if base is None else (searched - float(base)) * sign,
        gain_confirmed=_over_seeds(paired, level),
    )


def _over_seeds(values: Floats, level: float) -> MeanInterval:
    """Return the mean of `values` [subjects, seeds] over the seeds that all subjects have."""
    complete = values[:, np.isfinite(values).all(axis=0)]
    return mean_interval(complete[..., None], "seeds", level=level)
