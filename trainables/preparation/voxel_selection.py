"""Chooses voxels by how well they repeat, from repeats of training clips only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DatasetError

Doubles = NDArray[np.float64]

_HIGHEST = 1 - 1e-12
"""Largest absolute correlation, so that Fisher's z stays finite."""


@dataclass(frozen=True)
class Selection:
    """`top: N` keeps the N voxels with the highest scores, `above: x` all whose score is higher than x."""

    rule: Literal["top", "above"]
    value: float

    def choose(self, scores: Doubles) -> NDArray[np.int64]:
        """Return the chosen voxels in ascending order. NaN is never chosen; equal scores go by the voxel's number.

        Raises:
            DatasetError: There are fewer voxels with a score than `top`, or none above.
        """
        valid = np.flatnonzero(np.isfinite(scores))
        if self.rule == "top":
            if len(valid) < self.value:
                raise DatasetError(f"top: {self.value:.0f} voxels are wanted, but only {len(valid)} have a score")
            return np.sort(valid[np.argsort(-scores[valid], kind="stable")[: int(self.value)]])
        chosen = valid[scores[valid] > self.value]
        if len(chosen) == 0:
            highest = f"{scores[valid].max():.3g}" if len(valid) else "none"
            raise DatasetError(f"no voxel is above {self.value:g}; the highest score is {highest}")
        return chosen


@dataclass(frozen=True)
class RepeatTest:
    """One-sided t-test, over segments, of the correlation between two repeats. Per voxel; NaN for constant ones."""

    t: Doubles
    p: Doubles
    """One-sided: the correlation is positive. 0 where p is too small for a float: order by t instead."""

    def significant(self, level: float = 0.05) -> NDArray[np.int64]:
        """Return the voxels with p below `level` after Bonferroni's correction for all voxels that were tested."""
        tested = np.isfinite(self.p)
        corrected = np.where(tested, self.p, np.inf) * tested.sum()
        return np.flatnonzero(corrected < level)


def repeat_test(correlations: Doubles) -> RepeatTest:
    """Test whether the correlation between two repeats is positive.

    Args:
        correlations: of each segment (a run that was shown twice) and voxel, [segments, voxels]. Segments of training
            only.

    Raises:
        DatasetError: There are fewer than two segments.
    """
    from scipy.stats import t as t_distribution

    segments = len(correlations)
    if segments < 2:
        raise DatasetError(f"a t-test over segments needs two or more with two repeats each, but there is {segments}")
    z = np.arctanh(np.clip(correlations, -_HIGHEST, _HIGHEST))
    spread = z.std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = z.mean(axis=0) / (spread / np.sqrt(segments))
    t = np.where(np.isnan(z).any(axis=0), np.nan, t)
    return RepeatTest(t, np.asarray(t_distribution.sf(t, segments - 1)))


def top_by_test(test: RepeatTest, count: int) -> NDArray[np.int64]:
    """Return the `count` voxels with the smallest p, in ascending order.

    All tests have the same degrees of freedom, so that the order of t is that of p, and breaks ties where p is 0.
    """
    return Selection("top", count).choose(np.where(np.isinf(test.t), np.sign(test.t) * 1e300, test.t))
