"""Reliability of voxels from repeats of the same clips: noise ceiling, repeat correlation, explainable variance.

All functions take blocks of voxels, and any number of repeats that may differ from clip to clip.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_Rows = NDArray[np.float32] | Doubles


@dataclass(frozen=True)
class NoiseCeiling:
    """Per voxel; NaN where no clip was shown twice or the voxel is constant."""

    ncsnr: Doubles
    """Standard deviation of the signal over that of the noise."""
    single: Doubles
    """Percent of the variance of one response that the clip explains."""
    averaged: Doubles
    """The same of the mean over all repeats."""


def noise_ceiling(rows: _Rows, clip: NDArray[np.int64]) -> NoiseCeiling:
    """Return the noise ceiling of each voxel (Allen et al. 2022, as in NSD and BOLD Moments).

    The noise variance is the mean over clips of the variance over repeats; the rest of the variance is signal.

    Args:
        rows: one response per presentation, [P, voxels]; standardised per session or run.
        clip: number of the clip of each row, [P]. Clips that were shown once count in the total variance alone.

    Returns:
        Percentages from 0 to 100. The square root of a percentage / 100 is the ceiling of a correlation.
    """
    values, groups = np.asarray(rows, np.float64), _groups(clip)
    nothing = np.full(values.shape[1], np.nan)
    if not groups.repeated.any():
        return NoiseCeiling(nothing, nothing, nothing)
    noise = _noise_variance(values, groups)
    total = values.var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(total - noise, 0.0) / noise  # inf where repeats are equal
    ratio[total == 0] = np.nan
    repeats = groups.counts[groups.repeated]
    return NoiseCeiling(np.sqrt(ratio), _percent(ratio, 1.0), _percent(ratio, float(np.mean(1 / repeats))))


@dataclass(frozen=True)
class _Groups:
    index: NDArray[np.int64]
    """Group of each row."""
    counts: NDArray[np.int64]
    """Rows of each group."""

    @property
    def repeated(self) -> NDArray[np.bool_]:
        return np.asarray(self.counts > 1)


def _groups(clip: NDArray[np.int64]) -> _Groups:
    _, index, counts = np.unique(clip, return_inverse=True, return_counts=True)
    return _Groups(index, counts)


def _means(values: Doubles, groups: _Groups) -> Doubles:
    return _sums(values, groups) / groups.counts[:, None]


def _sums(values: Doubles, groups: _Groups) -> Doubles:
    """Return the sum over the rows of each group, [groups, voxels]."""
    order = np.argsort(groups.index, kind="stable")
    starts = np.cumsum(groups.counts) - groups.counts
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def _noise_variance(values: Doubles, groups: _Groups) -> Doubles:
    squares = _sums((values - _means(values, groups)[groups.index]) ** 2, groups)
    variances = squares[groups.repeated] / (groups.counts[groups.repeated, None] - 1)
    return np.asarray(variances.mean(axis=0))


def _percent(ratio: Doubles, noise_share: float) -> Doubles:
    """Return 100 x / (x + noise share) of signal-to-noise ratios x (of variances), which may be infinite."""
    with np.errstate(invalid="ignore"):
        percent = 100 * ratio / (ratio + noise_share)
    return np.where(np.isinf(ratio), 100.0, percent)


def correlation(left: _Rows, right: _Rows) -> Doubles:
    """Return the correlation over rows of each column of `left` and `right`, [N, voxels]; NaN if one is constant."""
    first, second = (np.asarray(values, np.float64) for values in (left, right))
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    lengths = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(lengths > 0, (first * second).sum(axis=0) / lengths, np.nan))


def repeat_correlation(rows: _Rows, clip: NDArray[np.int64]) -> Doubles:
    """Return the correlation between the first two presentations of all clips that were shown twice or more, [voxels].

    Rows are in the order of presentation. Fewer than three such clips give NaN.
    """
    order = np.argsort(clip, kind="stable")
    starts = np.flatnonzero(np.diff(clip[order], prepend=clip[order][:1] - 1))
    counts = np.diff(np.append(starts, len(order)))
    first = starts[counts > 1]
    if len(first) < 3:
        return np.full(rows.shape[1], np.nan)
    return correlation(rows[order[first]], rows[order[first + 1]])


def spearman_brown(correlations: Doubles, repeats: float = 2.0) -> Doubles:
    """Return the reliability of the mean over `repeats` repeats from that of one (2r / (1 + r) for two).

    Examples:
        >>> spearman_brown(np.array([0.5])).round(3).tolist()
        [0.667]
    """
    return np.asarray(repeats * correlations / (1 + (repeats - 1) * correlations))


def explainable_variance(repeats: _Rows) -> Doubles:
    """Return the share of variance that repeats of one continuous run have in common, [voxels].

    Corrected for the number of repeats (Sahani and Linden 2003; Hsu et al. 2004).

    Args:
        repeats: [R, volumes, voxels], R of 2 or more.
    """
    values = np.asarray(repeats, np.float64)
    count = len(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = values.mean(axis=0).var(axis=0) / values.var(axis=1).mean(axis=0)
    return np.asarray(share - (1 - share) / (count - 1))
