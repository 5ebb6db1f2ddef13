"""The common form of fMRI in files: a table of columns, and volumes that are read in blocks of columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CORTEX = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
"""In the order in which columns are returned."""
COLUMNS_AT_A_TIME = 8192
"""Columns that are read and cleaned at a time: 8 MB of a run of 245 volumes."""
NONE = -1
"""The value of a vertex or index that a column does not have."""


@dataclass(frozen=True)
class Structure:
    """Neighbouring columns of one brain structure: vertices of a surface, or voxels."""

    name: str
    """CIFTI name, for example `CIFTI_STRUCTURE_CORTEX_LEFT`; `VOLUME` for voxels of a mask."""
    vertex: NDArray[np.int32] | None
    """Index into the surface, [columns]; None for voxels."""
    ijk: NDArray[np.int32] | None
    """Index into the volume, [columns, 3]; None for vertices."""
    mesh: int | None
    """Vertices of the whole surface, for example 32492; None for voxels."""

    def __len__(self) -> int:
        indices = self.vertex if self.vertex is not None else self.ijk
        return 0 if indices is None else len(indices)


@dataclass(frozen=True)
class BrainAxis:
    """The meaning of each column of a series: its structures, one after another."""

    structures: tuple[Structure, ...]

    def __len__(self) -> int:
        return sum(map(len, self.structures))

    @property
    def names(self) -> NDArray[np.str_]:
        """The structure of each column."""
        return np.repeat([part.name for part in self.structures], [len(part) for part in self.structures])

    @property
    def vertex(self) -> NDArray[np.int32]:
        """The vertex of each column; `NONE` for voxels."""
        return self._joined(
            [np.full(len(part), NONE, np.int32) if part.vertex is None else part.vertex for part in self.structures]
        )

    @property
    def ijk(self) -> NDArray[np.int32]:
        """The voxel of each column, [columns, 3]; `NONE` for vertices."""
        return self._joined(
            [np.full((len(part), 3), NONE, np.int32) if part.ijk is None else part.ijk for part in self.structures]
        )

    def differs_from(self, other: "BrainAxis") -> str | None:
        """Return how two axes differ, or None if all columns have the same meaning."""
        if self.shape != other.shape:
            return f"{_listed(self)} instead of {_listed(other)}"
        for mine, its in zip(self.structures, other.structures, strict=True):
            if not (_equal(mine.vertex, its.vertex) and _equal(mine.ijk, its.ijk)):
                return f"other vertices or voxels of {mine.name}"
        return None

    @property
    def shape(self) -> tuple[tuple[str, int, int | None], ...]:
        """Name, columns and mesh of every structure."""
        return tuple((part.name, len(part), part.mesh) for part in self.structures)

    @staticmethod
    def _joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _equal(left: NDArray[np.int32] | None, right: NDArray[np.int32] | None) -> bool:
    if left is None or right is None:
        return left is right
    return np.array_equal(left, right)


def _listed(axis: BrainAxis) -> str:
    return ", ".join(
        f"{name.removeprefix('CIFTI_STRUCTURE_')} {columns}" + (f" of {mesh}" if mesh is not None else "")
        for name, columns, mesh in axis.shape
    )


class Series(Protocol):
    """The volumes of one run, in a file."""

    @property
    def path(self) -> Path:
        """Their file, for messages."""

    @property
    def axis(self) -> BrainAxis:
        """The meaning of the columns."""

    @property
    def volumes(self) -> int:
        """Number of volumes."""

    @property
    def tr_hint(self) -> float | None:
        """Seconds per volume as the file has it. Headers are often wrong: only compare with it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes from opening."""

    def read_block(self, columns: slice) -> Floats:
        """Return neighbouring columns, float32 [volumes, columns]. Each column is contiguous in memory."""


def blocks(columns: int, *, size: int = COLUMNS_AT_A_TIME) -> Iterator[slice]:
    """Yield slices that cover `columns` columns.

    Examples:
        >>> list(blocks(5, size=2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))
