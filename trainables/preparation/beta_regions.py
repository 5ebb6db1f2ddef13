"""Voxels of betas that lie in one file per region: a voxel that several files share becomes one voxel.

The files do not identify voxels. Two columns of different files with the same values are taken as the same voxel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.beta_subject import VoxelChoice
from trainables.preparation.betas import BetaFile, Betas, FileColumns, open_betas
from trainables.preparation.series import NONE

_COMPARED = 8
"""Number of clips whose values are compared to identify voxels."""


@dataclass(frozen=True)
class Region:
    """The region and hemisphere of a file."""

    name: str
    """"" for the whole brain."""
    hemisphere: str = ""
    """left, right, or "" for both."""
    ijk: NDArray[np.int32] | None = None
    """Voxel indices in the volume, [voxels, 3], if known."""


@dataclass(frozen=True)
class KnownCounts:
    """Voxels per region, as published: smallest and largest number."""

    counts: Mapping[str, tuple[int, int]]

    def differences(self, found: Mapping[str, int], where: Path) -> tuple[DataProblem, ...]:
        """Return a warning if regions have other numbers of voxels."""
        wrong = [
            f"{name} {count} instead of {_range(self.counts[name])}"
            for name, count in found.items()
            if name in self.counts and not self.counts[name][0] <= count <= self.counts[name][1]
        ]
        if not wrong:
            return ()
        what = f"voxels differ from what is published: {', '.join(wrong)}"
        return (DataProblem(str(where), what, "they are taken as they are; releases differ", fatal=False),)


def _range(limits: tuple[int, int]) -> str:
    return f"{limits[0]}" if limits[0] == limits[1] else f"{limits[0]} to {limits[1]}"


def choose_regions(regions: Sequence[Region], files: Sequence[BetaFile]) -> VoxelChoice:
    """Return the voxels of all files, one file per region, each voxel once.

    A voxel's main region is that of the first file that has it. Regions that share voxels, and hemispheres, are further
    columns of the table.

    Raises:
        InputError: A file cannot be used.
    """
    first: dict[bytes, int] = {}
    columns: list[FileColumns] = []
    numbers: list[FileColumns] = []
    main: list[str] = []
    for region, file in zip(regions, files, strict=True):
        own, voxels = _numbered(open_betas(file), first, len(main))
        columns.append(own)
        numbers.append(np.array(voxels, np.int64))
        main += [region.name] * len(own)
    roi = np.array(main, dtype=np.str_)
    table = VoxelTable(roi, ijk=_voxel_indices(regions, numbers, len(roi)), regions=_further(regions, numbers, roi))
    return VoxelChoice(tuple(columns), table)


def _voxel_indices(regions: Sequence[Region], numbers: Sequence[FileColumns], count: int) -> NDArray[np.int32] | None:
    """Return voxel indices, [voxels, 3]: -1 where unknown, None if all are unknown."""
    if all(region.ijk is None for region in regions):
        return None
    indices = np.full((count, 3), NONE, np.int32)
    for region, voxels in zip(regions, numbers, strict=True):
        if region.ijk is not None:
            indices[voxels] = region.ijk
    return indices


def _numbered(betas: Betas, first: dict[bytes, int], start: int) -> tuple[FileColumns, list[int]]:
    """Return the columns that no earlier file has, and the voxel of each column. Adds the new voxels to `first`."""
    clips, _, voxels = betas.shape
    values = betas.read(slice(0, min(clips, _COMPARED)), np.arange(voxels)).T
    constant = (values == values[:, :1]).all(axis=1)
    new: list[int] = []
    numbers: list[int] = []
    added: dict[bytes, int] = {}
    for column, row in enumerate(np.ascontiguousarray(values)):
        earlier = None if constant[column] else first.get(row.tobytes())
        numbers.append(start + len(new) if earlier is None else earlier)
        if earlier is None:
            new.append(column)
            if not constant[column]:
                added[row.tobytes()] = numbers[-1]
    first |= added
    return np.array(new, np.int64), numbers


def _further(
    regions: Sequence[Region], numbers: Sequence[FileColumns], roi: NDArray[np.str_]
) -> dict[str, NDArray[np.bool_]]:
    """Return the membership of regions and hemispheres, except what equals the main region."""
    named = [(region.name, voxels) for region, voxels in zip(regions, numbers, strict=True)]
    named += [(region.hemisphere, voxels) for region, voxels in zip(regions, numbers, strict=True)]
    member: dict[str, NDArray[np.bool_]] = {}
    for name, voxels in named:
        if name:
            member.setdefault(name, np.zeros(len(roi), np.bool_))[voxels] = True
    return {name: values for name, values in member.items() if not np.array_equal(values, roi == name)}
