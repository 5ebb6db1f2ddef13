"""Removes drift, confounds and the mean from a run in one projection, and standardises it, block by block.

Doing it in steps would bring back noise that an earlier step removed (Lindquist et al. 2019, doi 10.1002/hbm.24528).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.prepared.source import DataBlock
from trainables.preparation.series import COLUMNS_AT_A_TIME, Floats, Series, blocks

Trend = Literal["polynomial", "cosine", "none"]

HIGH_PASS_HZ = 0.008
"""High-pass cutoff of the cosines in Hz, as in fMRIPrep and nilearn."""
_SECONDS_PER_DEGREE = 150.0
_FLAT = 1e-6
"""A column whose residual is below this fraction of its largest value is constant up to rounding."""
_DEPENDENT = 1e-7
"""A regressor is dropped if less than this share of its length is independent of the others."""


@dataclass(frozen=True)
class Cleaned:
    """Columns of one run after cleaning."""

    values: Floats
    """[volumes, columns]; zeros in columns that are constant or not finite."""
    constant: NDArray[np.bool_]
    """Columns without variance after the removal, [columns]."""
    not_finite: NDArray[np.bool_]
    """Columns with NaN or infinite values in volumes that count, [columns]."""


@dataclass(frozen=True)
class Projection:
    """The regressors that are removed from a run, as an orthonormal basis over the volumes that count."""

    basis: Floats
    """[volumes that count, regressors]; the mean is among them."""
    kept: NDArray[np.bool_]
    """Volumes that count, [volumes]. The others are filled from their neighbours in time afterwards."""
    regressors: int
    """Number of independent regressors, the mean included."""

    def clean(self, values: Floats, *, standardise: bool = True, ddof: int = 1) -> Cleaned:
        """Return the residual of `values` [volumes, columns], with a standard deviation of 1.

        Args:
            values: one block of a run; float32.
            standardise: divide by the standard deviation of the residual.
            ddof: 1 as in MATLAB, and in nilearn's `zscore_sample`; 0 as in NumPy.
        """
        columns = np.array(values.T if self.kept.all() else values.T[:, self.kept], np.float32, order="C")
        # A rough mean suffices, since the exact one is in the basis. It comes first because raw BOLD has a mean of a
        # hundred times its spread: without it, float32 is as good as float64 here.
        mean = columns @ np.full(columns.shape[1], 1 / columns.shape[1], np.float32)
        not_finite = np.asarray(~np.isfinite(mean))
        columns[not_finite] = mean[not_finite] = 0.0
        columns -= mean[:, None]
        size = np.abs(mean) + _root_mean_square(columns)
        columns -= (columns @ self.basis) @ self.basis.T
        spread = _root_mean_square(columns, ddof=ddof)
        constant = (spread <= _FLAT * size) & ~not_finite
        columns[constant | not_finite] = 0.0
        if standardise:
            columns /= np.where(constant | not_finite, np.float32(1), spread)[:, None]
        return Cleaned(self._filled(columns).T, constant, not_finite)

    def _filled(self, residual: Floats) -> Floats:
        if self.kept.all():
            return residual
        times, kept = np.arange(len(self.kept)), np.flatnonzero(self.kept)
        right = np.searchsorted(kept, times).clip(1, len(kept) - 1) if len(kept) > 1 else np.zeros(len(times), int)
        left = np.maximum(right - 1, 0)
        span = np.maximum(kept[right] - kept[left], 1)
        share = ((times - kept[left]) / span).clip(0, 1).astype(np.float32)
        filled: Floats = residual[:, left] * (1 - share) + residual[:, right] * share
        return filled


def _root_mean_square(columns: Floats, *, ddof: int = 0) -> Floats:
    """Return the standard deviation of columns without a mean, [columns, volumes] to [columns]."""
    squares = np.einsum("ij,ij->i", columns, columns)
    return np.asarray(np.sqrt(squares / np.float32(max(columns.shape[1] - ddof, 1))), np.float32)


def _degree(volumes: int, tr: float) -> int:
    return 1 + int(volumes * tr / _SECONDS_PER_DEGREE)


def outlasts_drift(volumes: int, tr: float) -> bool:
    """Return whether a run has more volumes than its mean and polynomial drift take.

    Examples:
        >>> outlasts_drift(240, 2.0), outlasts_drift(240, 2000.0), outlasts_drift(2, 2.0)
        (True, False, False)
    """
    return _degree(volumes, tr) + 1 < volumes


def trend_regressors(volumes: int, tr: float, *, trend: Trend = "polynomial") -> NDArray[np.float64]:
    """Return regressors for slow drift, [volumes, regressors], the mean first.

    `polynomial` has degree 1 + duration / 150 s, as AFNI has it; `cosine` all cosines slower than 0.008 Hz, as SPM,
    fMRIPrep and nilearn have them; `none` only the mean.

    Examples:
        >>> trend_regressors(240, 2.0).shape
        (240, 5)
    """
    if trend == "none":
        return np.ones((volumes, 1))
    if trend == "cosine":
        count = min(int(np.floor(2 * volumes * HIGH_PASS_HZ * tr)), volumes - 1)
        phase = np.pi * (np.arange(volumes)[:, None] + 0.5) / volumes
        return np.cos(phase * np.arange(count + 1))
    degree = min(_degree(volumes, tr), volumes - 1)
    return np.asarray(np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, volumes), degree), np.float64)


def make_projection(
    volumes: int,
    tr: float,
    *,
    trend: Trend = "polynomial",
    confounds: NDArray[np.float64] | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> Projection:
    """Return the projection that removes mean, drift and confounds of one run at once.

    Args:
        volumes: of the run, after trimming.
        tr: seconds per volume.
        trend: see `trend_regressors`.
        confounds: [volumes, regressors], finite.
        kept: volumes that count; the others neither shape the fit nor keep their values. None keeps all.

    Raises:
        ValueError: Nothing would be left: as many regressors as volumes that count.
    """
    kept = np.ones(volumes, bool) if kept is None else kept
    regressors = trend_regressors(volumes, tr, trend=trend)
    if confounds is not None:
        regressors = np.concatenate([regressors, confounds], axis=1)
    basis = _orthonormal(regressors[kept])
    if basis.shape[1] >= kept.sum():
        raise ValueError(f"{basis.shape[1]} regressors for {kept.sum()} volumes leave nothing; use fewer confounds")
    return Projection(basis.astype(np.float32), kept, basis.shape[1])


def _orthonormal(regressors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis of the space that the columns span; dependent columns are dropped."""
    from scipy.linalg import qr

    centred = regressors.copy()
    centred[:, 1:] -= centred[:, 1:].mean(axis=0)  # the mean is column 0
    length = np.linalg.norm(centred, axis=0)
    scaled = centred / np.where(length > _DEPENDENT * np.linalg.norm(regressors, axis=0), length, np.inf)
    basis, triangle, _ = qr(scaled, mode="economic", pivoting=True)
    return np.asarray(basis[:, np.abs(np.diag(triangle)) > _DEPENDENT])


@dataclass(frozen=True)
class Run:
    """One run to be cleaned: its file, the volumes that are kept, and the regressors."""

    series: Series
    volumes: slice
    """Kept volumes, after trimming."""
    projection: Projection

    def clean(self, columns: slice) -> Cleaned:
        """Return a block, read and cleaned."""
        return self.projection.clean(self.series.read_block(columns)[self.volumes])


def clean_blocks(run: Run, *, size: int = COLUMNS_AT_A_TIME) -> Iterator[tuple[slice, Cleaned]]:
    """Yield all columns of a run, cleaned, in blocks. Only one block is in memory at a time."""
    for block in blocks(len(run.series.axis), size=size):
        yield block, run.clean(block)


def cleaned_blocks(run: Run, chosen: NDArray[np.bool_] | None = None) -> Iterator[DataBlock]:
    """Yield the columns of a run that are `chosen`, or all, cleaned, in the form for the writer of a data set."""
    first = 0
    for columns in blocks(len(run.series.axis)):
        kept = None if chosen is None else np.flatnonzero(chosen[columns])
        if kept is not None and not len(kept):
            continue
        values = run.clean(columns).values
        block = DataBlock(values if kept is None else values[:, kept], 0, first)
        first += block.values.shape[1]
        yield block


def mean_of_repeats(runs: Sequence[Run], columns: slice) -> Floats:
    """Return the mean over runs that showed the same, each cleaned, [volumes, columns].

    Columns that are constant or not finite in one repeat count as zeros there: see `Cleaned`.
    """
    total = runs[0].clean(columns).values
    for run in runs[1:]:
        total += run.clean(columns).values
    total /= np.float32(len(runs))
    return total
