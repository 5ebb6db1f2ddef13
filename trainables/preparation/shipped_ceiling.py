"""Compares our noise ceiling with the published one of a data set. Differences are warnings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.datasets.errors import DataProblem
from trainables.preparation.betas import BetaFile, FileColumns, open_betas
from trainables.preparation.files import InputError
from trainables.preparation.noise_ceiling import Doubles, noise_ceiling
from trainables.preparation.pickles import read_pickle
from trainables.preparation.series import blocks

_BLOCK_VALUES = 1 << 21
_LARGEST = 1.0
"""Difference in percentage points that is not reported."""
_RIGHT = "it is only compared; the noise ceiling in the voxel table is ours"


@dataclass(frozen=True)
class ShippedCeiling:
    """A file with noise ceilings in percent of variance, and their betas."""

    path: Path
    betas: BetaFile
    averaged: bool
    """Of the mean over all repeats; else of one presentation."""


def ceiling_differences(shipped: ShippedCeiling, columns: FileColumns) -> Iterator[DataProblem]:
    """Yield a warning if the file cannot be used, or differs from ours by more than a percentage point."""
    try:
        betas = open_betas(shipped.betas)
        theirs = _read(shipped.path, betas.shape[2])[columns]
    except InputError as error:
        yield DataProblem(str(shipped.path), error.problem.what, _RIGHT, fatal=False)
        return
    clips, repeats, _ = betas.shape
    clip, ours = np.repeat(np.arange(clips), repeats), []
    for block in blocks(len(columns), size=max(64, _BLOCK_VALUES // len(clip))):
        ceiling = noise_ceiling(betas.read(slice(0, clips), columns[block]), clip)
        ours.append(ceiling.averaged if shipped.averaged else ceiling.single)
    difference = np.abs(np.concatenate(ours) - theirs)
    finite = difference[np.isfinite(difference)]
    if len(finite) and finite.max() > _LARGEST:
        of = f"the mean over {repeats} repeats" if shipped.averaged else "one presentation"
        what = (
            f"its noise ceiling of {of} differs from ours by {np.median(finite):.1f} percentage points in the median "
        )
        what += f"and {finite.max():.1f} at most"
        yield DataProblem(str(shipped.path), what, _RIGHT, fatal=False)


def _read(path: Path, voxels: int) -> Doubles:
    """Return percent of variance per voxel: the second of two arrays, after the signal-to-noise ratio."""
    content = read_pickle(path)
    if not isinstance(content, tuple | list) or len(content) < 2 or not _is_row(content[1], voxels):
        raise InputError(path, f"does not hold two arrays of {voxels} numbers", "ratio and percent are needed")
    return np.asarray(content[1], np.float64).reshape(-1)


def _is_row(values: object, voxels: int) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f" and values.size == voxels
