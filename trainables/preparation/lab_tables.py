"""Reads a lab's tables (CSV, TSV, Parquet) and arrays (.npy, HDF5, Parquet)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.names import listing, question
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.read import map_array
from trainables.datasets.prepared.source import DataBlock
from trainables.preparation.files import is_named, require_content

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
ARRAY_SUFFIXES = (".npy", ".h5", ".hdf5", ".hdf", ".parquet")
_ROWS = 256
_TEXTS = (
    "clip_id", "run_id", "session", "task", "source", "caption", "note", "split", "roi", "structure", "excluded"
)  # fmt: skip
"""Columns that stay texts although they may look like numbers: 001 is a name."""
_EMPTY = ("", "n/a", "N/A", "NA", "nan", "NaN", "null")


def read_table(path: Path, *, needed: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return the columns of a table; empty values and n/a become None.

    Raises:
        DatasetError: It cannot be read, or lacks one of the columns `needed`.
    """
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    require_content(path)
    types = dict.fromkeys(_TEXTS, pa.string())
    right = f"it must be a table ({', '.join(TABLE_SUFFIXES)}) whose first line names the columns"
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            parse = csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
            convert = csv.ConvertOptions(null_values=_EMPTY, strings_can_be_null=True, column_types=types)
            table = csv.read_csv(path, parse_options=parse, convert_options=convert)
        names = table.column_names  # fails if a name is not UTF-8
    except Exception as error:  # Arrow may raise any exception on damaged input
        raise DatasetError.of(DataProblem(str(path), f"cannot be read: {str(error).splitlines()[0]}", right)) from error
    absent = [name for name in needed if name not in names]
    if absent:
        asked = question(absent[0], names)
        what = f"has no column {', '.join(absent)}, but {listing(names)}{f' ({asked})' if asked else ''}"
        raise DatasetError.of(DataProblem(str(path), what, right))
    if len(set(names)) < len(names):
        raise DatasetError.of(DataProblem(str(path), "two columns have the same name", right))
    return {name: table[name].to_pylist() for name in names}


def numbers(values: Sequence[Any], where: str) -> list[float]:
    """Return a column as numbers. Raises `DatasetError`, which names the first row that holds none."""
    for row, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise DatasetError.of(DataProblem(where, f"row {row + 1} holds {value!r}", "every row needs a number"))
    return [float(value) for value in values]


def texts(values: Sequence[Any]) -> list[str]:
    """Return a column as texts; names may look like numbers. Empty values become ""."""
    return ["" if value is None else str(value) for value in values]


@dataclass(frozen=True)
class LabArray:
    """An array of real numbers in a file, read in blocks of rows."""

    path: Path
    shape: tuple[int, ...]
    key: str = ""
    """Name of the data set within HDF5."""

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return some rows as float32."""
        match self.path.suffix:
            case ".npy":
                block = map_array(self.path)[start:stop]
            case ".parquet":
                block = _parquet_rows(self.path, start, stop)
            case _:
                block = _hdf5_rows(self.path, self.key, start, stop)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(block).astype(np.float32)

    def blocks(self) -> Iterator[DataBlock]:
        """Yield all rows."""
        for start in range(0, self.shape[0], _ROWS):
            yield DataBlock(self.rows(start, min(start + _ROWS, self.shape[0])), first_row=start)


def open_array(path: Path, *, key: str = "", dimensions: Sequence[int] = (2,)) -> LabArray:
    """Open an array; reads its header only.

    Args:
        path: .npy, HDF5, or Parquet with a column per voxel.
        key: The data set within HDF5; may be left out if there is only one with as many dimensions.
        dimensions: How many it may have.

    Raises:
        DatasetError: It cannot be read, has another number of dimensions, or does not hold real numbers.
    """
    require_content(path)
    match path.suffix:
        case ".npy":
            array = map_array(path)
            shape, dtype = array.shape, array.dtype
        case ".parquet":
            shape, dtype = _parquet_header(path)
        case ".h5" | ".hdf5" | ".hdf":
            key, shape, dtype = _hdf5_header(path, key, dimensions)
        case _:
            right = f"it must end in {', '.join(ARRAY_SUFFIXES)}"
            raise DatasetError.of(DataProblem(str(path), f"has the suffix {path.suffix!r}", right))
    if len(shape) not in dimensions or dtype.kind not in "fiu" or 0 in shape:
        right = f"it must hold real numbers in {' or '.join(map(str, dimensions))} dimensions"
        raise DatasetError.of(DataProblem(str(path), f"holds {dtype} {list(shape)}", right))
    return LabArray(path, tuple(shape), key)


def _parquet_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        dtypes = {np.dtype(column.type.to_pandas_dtype()) for column in file.schema_arrow}
    except Exception as error:  # Arrow may raise any exception on damaged input
        right = "it must be a Parquet file with a column of numbers per voxel"
        raise DatasetError.of(DataProblem(str(path), f"cannot be read: {error}", right)) from error
    other = [dtype for dtype in dtypes if dtype.kind not in "fiu"]
    return (file.metadata.num_rows, len(file.schema_arrow)), other[0] if other else np.dtype(np.float32)


def _parquet_rows(path: Path, start: int, stop: int) -> NDArray[Any]:
    import pyarrow.parquet as pq

    file, kept, begin = pq.ParquetFile(path), [], 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if begin < stop and begin + count > start:
            table = file.read_row_group(group).slice(max(0, start - begin), stop - max(start, begin))
            kept.append(np.stack([column.to_numpy() for column in table.columns], axis=1))
        begin += count
    return np.concatenate(kept)


def _hdf5_header(path: Path, key: str, dimensions: Sequence[int]) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = {name: (item.shape, item.dtype) for name, item in _datasets(file) if item.ndim in dimensions}
    except OSError as error:
        raise DatasetError.of(DataProblem(str(path), f"cannot be read: {error}", "it must be an HDF5 file")) from error
    if key == "" and len(found) == 1:
        key = next(iter(found))
    if key not in found:
        what = f"has no data set {key!r}" if key else f"has {len(found)} data sets of this kind"
        raise DatasetError.of(DataProblem(str(path), what, f"choose one with --key: {', '.join(sorted(found)[:8])}"))
    return key, *found[key]


def _datasets(file: Any) -> list[tuple[str, Any]]:
    import h5py

    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return found


def _hdf5_rows(path: Path, key: str, start: int, stop: int) -> NDArray[Any]:
    import h5py

    with h5py.File(path, "r") as file:
        return np.asarray(file[key][start:stop])


def one_file(folder: Path, stem: str, suffixes: Sequence[str]) -> Path | None:
    """Return `folder/stem` with one of `suffixes`, or None. Raises `DatasetError` if there are several.

    A link to content that is not there (git-annex) counts: who opens it says so, and the file is not taken for absent.
    """
    paths = [folder / f"{stem}{suffix}" for suffix in suffixes]
    found = [path for path in paths if is_named(path)]
    if len(found) > 1:
        what = f"there are {' and '.join(path.name for path in found)}"
        raise DatasetError.of(DataProblem(str(folder), what, "keep one of them"))
    return found[0] if found else None


LabColumns = Mapping[str, list[Any]]
