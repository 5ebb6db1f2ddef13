"""Standardisation of clips' fMRI rows by the mean and standard deviation of the training rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DatasetError
from trainables.datasets.presentations import DROPPED, WITHHELD

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Texts = NDArray[np.str_]

_FLAT = 1e-6
"""A voxel whose standard deviation is below this fraction of its largest value is constant up to rounding."""


@dataclass(frozen=True)
class Scale:
    """How some voxels are standardised."""

    split: Texts
    """Of each clip."""
    varying: NDArray[np.int64]
    """The voxels that are kept: those that are not constant in training."""
    first: int
    """The number of the first voxel."""
    mean: Doubles
    """Of the kept voxels."""
    std: Doubles
    own: tuple[Doubles, Doubles] | None
    """Mean and standard deviation of the kept voxels on test rows, if these are standardised by themselves."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """`mean`, `std` and `voxel` of the kept voxels."""
        voxel = (self.varying + self.first).astype(np.int32)
        return {"mean": self.mean.astype(np.float32), "std": self.std.astype(np.float32), "voxel": voxel}

    def apply(self, rows: Doubles) -> Floats:
        """Return clips' rows [N,V] standardised, with the kept voxels alone."""
        rows = rows[:, self.varying]
        scaled = (rows - self.mean) / self.std
        if self.own is not None:
            test = self.split == "test"
            scaled[test] = (rows[test] - self.own[0]) / self.own[1]
        scaled[np.isin(self.split, (DROPPED, WITHHELD))] = 0.0
        return scaled.astype(np.float32)

    def of_volumes(self, series: Floats) -> Floats:
        """Return volumes [T,V] on the scale of training rows, with the kept voxels alone."""
        return ((series[:, self.varying] - self.mean) / self.std).astype(np.float32)


def standardise(
    rows: Doubles, split: Texts, *, own_test: bool, with_validation: bool = False, first: int = 0
) -> tuple[Floats, dict[str, NDArray[Any]]]:
    """Standardise rows [N,V] by the mean and standard deviation of the training rows.

    With `with_validation`, validation rows count for both. Test rows are standardised by their own if `own_test`.
    `first` is the number of the first voxel.

    Returns:
        The rows without voxels that are constant in training, and `mean`, `std` and `voxel` of the remaining voxels.
    """
    scale = fit_scale(rows, split, own_test=own_test, with_validation=with_validation, first=first)
    return scale.apply(rows), scale.arrays


def fit_scale(rows: Doubles, split: Texts, *, own_test: bool, with_validation: bool = False, first: int = 0) -> Scale:
    """Return the scale that `standardise` uses for its arguments. Raises `DatasetError`."""
    require_finite(rows, first)
    train, test = split == "train", split == "test"
    if not train.any():
        raise DatasetError("no training clip has a BOLD volume; voxels.lag_tr must be shorter than the runs")
    fitted = train | (split == "validation") if with_validation else train
    mean, std = rows[fitted].mean(axis=0), rows[fitted].std(axis=0)
    varying = np.nonzero(std > _FLAT * np.abs(rows[train]).max(axis=0))[0]
    own = None
    if own_test:
        if test.sum() < 2:
            raise DatasetError(
                f"voxels.normalise: test_stats needs at least two test clips, but there are {test.sum()}"
            )
        of_test = rows[test][:, varying]
        spread = of_test.std(axis=0)
        own = of_test.mean(axis=0), np.where(spread > 0, spread, 1.0)
    return Scale(split, varying, first, mean[varying], std[varying], own)


def require_finite(rows: Doubles, first: int) -> None:
    """Raise `DatasetError` if a value of rows [N,V] is not finite. `first` is the number of the first voxel."""
    invalid = np.argwhere(~np.isfinite(rows))
    if len(invalid):
        row, voxel = invalid[0].tolist()
        raise DatasetError(
            f"fMRI: {len(invalid)} value(s) of voxels {first} to {first + rows.shape[1] - 1} are NaN or infinite, "
            f"first for clip {row} in voxel {first + voxel}; all must be finite"
        )
