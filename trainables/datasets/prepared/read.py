"""Opens a prepared data set: tables are read, arrays are memory-mapped."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clips import Frames
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.npy_files import ArrayFileError, map_npy
from trainables.datasets.prepared.description import Description, read_description
from trainables.datasets.prepared.tables import (
    ClipRow,
    EventRow,
    PresentationRow,
    RunRow,
    VoxelTable,
    read_typed_table,
    read_voxels,
)

_OPEN = 1024
"""Number of clip files whose headers are cached."""


def map_array(path: Path) -> NDArray[Any]:
    """Memory-map a .npy file. Raises `DatasetError`: it is missing, no array, or shorter than its header says."""
    right = "it must be a NumPy file (.npy) without objects"
    try:
        return map_npy(path)
    except FileNotFoundError:
        raise DatasetError.of(DataProblem(str(path), "there is no such file", right)) from None
    except ArrayFileError as error:
        hint = "is truncated, or a pointer of git-annex or LFS: get the data again"
        raise DatasetError.of(DataProblem(str(path), f"cannot be read: {error}", f"{right}; if it {hint}")) from error


@dataclass(frozen=True)
class ArrayFile:
    """A .npy file that is read by ranges of rows: unlike pages of a mapped file, nothing stays in memory."""

    path: Path
    offset: int
    """Bytes before the first row."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return some neighbouring rows."""
        start, stop, _ = rows.indices(len(self))
        return self.rows(start, max(start, stop))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop`."""
        count = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        flat = np.fromfile(
            self.path, self.dtype, (stop - start) * count // self.dtype.itemsize, offset=self.offset + start * count
        )
        return flat.reshape(stop - start, *self.shape[1:])


def array_file(path: Path) -> ArrayFile:
    """Open a .npy file in C order. Raises `DatasetError` as `map_array` does."""
    mapped = map_array(path)
    if not mapped.flags.c_contiguous:
        right = "it must be in C order: save it with numpy.ascontiguousarray"
        raise DatasetError.of(DataProblem(str(path), "is in Fortran order", right))
    return ArrayFile(path, path.stat().st_size - mapped.nbytes, mapped.shape, mapped.dtype)


class ClipArray:
    """All clips of a data set as one array [N, F, H, W, 3] that is read where it is indexed."""

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, rows: Sequence[ClipRow], frame_shape: tuple[int, int, int]) -> None:
        """Describe the clips; opens no file. `frame_shape` is frames, height, width."""
        self._locations = [(folder / row.file, row.index) for row in rows]
        self.shape = (len(rows), *frame_shape, 3)
        self._open = lru_cache(maxsize=_OPEN)(array_file)

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, key: int | slice | NDArray[Any] | Sequence[int]) -> Frames:
        """Return one clip [F, H, W, 3] or several [K, F, H, W, 3]."""
        if isinstance(key, int | np.integer):
            path, index = self._locations[key]
            file = self._open(path)
            return file.rows(index, index + 1)[0] if index is not None else file.rows(0, file.shape[0])
        chosen = np.arange(len(self))[key].tolist()
        clips = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for position, index in enumerate(chosen):
            clips[position] = self[index]
        return clips

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all clips: for small data sets."""
        return self[:].astype(dtype if dtype is not None else np.uint8, copy=False)


@dataclass(frozen=True)
class PreparedSubject:
    """One subject of a prepared data set. Files are read on access."""

    name: str
    folder: Path
    kind: str

    @cached_property
    def voxels(self) -> VoxelTable:
        """Its voxel table."""
        return read_voxels(self.folder / "voxels.parquet")

    @cached_property
    def runs(self) -> tuple[RunRow, ...]:
        """Its runs; series only."""
        return read_typed_table(self.folder / "runs.parquet", RunRow)

    @cached_property
    def events(self) -> tuple[EventRow, ...]:
        """Its presentations of clips; series only."""
        return read_typed_table(self.folder / "events.parquet", EventRow)

    @cached_property
    def rows(self) -> tuple[PresentationRow, ...]:
        """The presentation that each row of `values` is the response to; rows only."""
        return read_typed_table(self.folder / "rows.parquet", PresentationRow)

    def shown(self) -> list[str]:
        """Return the clip of each presentation; runs that are left out do not count."""
        if self.kind == "rows":
            return [row.clip_id for row in self.rows]
        excluded = {run.run_id for run in self.runs if run.excluded is not None}
        return [event.clip_id for event in self.events if event.run_id not in excluded]

    @property
    def array(self) -> Path:
        """The file of `values`."""
        return self.folder / ("bold.npy" if self.kind == "series" else "rows.npy")

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """The fMRI, volumes or rows by voxels, memory-mapped."""
        return map_array(self.array)


@dataclass(frozen=True)
class PreparedSet:
    """A prepared data set."""

    folder: Path
    description: Description

    @cached_property
    def clips(self) -> tuple[ClipRow, ...]:
        """The table of the clips."""
        return read_typed_table(self.folder / "clips.parquet", ClipRow)

    @cached_property
    def frames(self) -> ClipArray:
        """The pixels of all clips, memory-mapped."""
        shape = self.description.clips
        return ClipArray(self.folder, self.clips, (shape.frames, shape.height, shape.width))

    @cached_property
    def subjects(self) -> tuple[PreparedSubject, ...]:
        """Its subjects."""
        names = self.description.subjects
        return tuple(PreparedSubject(name, self.folder / name, self.description.kind) for name in names)


def open_prepared(folder: Path) -> PreparedSet:
    """Open the data set in `folder`; reads dataset.json only. Raises `DatasetError`.

    docs/data-format.md has an example.
    """
    return PreparedSet(folder, read_description(folder))
