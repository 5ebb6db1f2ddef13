"""The tables of the generic format. Each is a frozen class whose fields are the columns.

`schema_of` derives the Parquet schema from a class, `columns_of` the list in the documentation. The voxel table has a
column per region beside its own, so it is a class of arrays.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, DataReport, DatasetError

Split = Literal["train", "validation", "test", "excluded"]
SPLITS: tuple[Split, ...] = get_args(Split)

MAIN_ROI = "roi"
"""The column of the voxel table with each voxel's main region."""


@dataclass(frozen=True)
class Column:
    """Storage type and meaning of a field."""

    type: Any
    """Arrow type."""
    meaning: str


@dataclass(frozen=True)
class NamedColumn:
    """A column of a table, for the documentation."""

    name: str
    type: Any
    required: bool
    """Whether every row has a value."""
    meaning: str


_STRING, _SECONDS = pa.string(), pa.float64()


@dataclass(frozen=True)
class ClipRow:
    """A row of `clips.parquet`: one clip."""

    clip_id: Annotated[str, Column(_STRING, "name of the clip, unique")]
    file: Annotated[str, Column(_STRING, "array with its frames, relative to the data set: clips/shard_00000.npy")]
    index: Annotated[
        int | None, Column(pa.int32(), "row of `file` if that is a shard [n, F, H, W, 3]; empty if it is [F, H, W, 3]")
    ]
    start_s: Annotated[float | None, Column(_SECONDS, "start in the film that it was cut from")]
    end_s: Annotated[float | None, Column(_SECONDS, "end in that film")]
    fps: Annotated[float | None, Column(pa.float32(), "frames per second as stored")]
    frames: Annotated[int, Column(pa.int32(), "number of frames F")]
    sha256: Annotated[str, Column(_STRING, "SHA-256 of the frames, uint8 in C order")]
    caption: Annotated[str, Column(_STRING, "what it shows: the text for evaluation")]
    captions: Annotated[tuple[str, ...], Column(pa.list_(_STRING), "all texts for it, `caption` among them")]
    source: Annotated[str, Column(_STRING, "film or segment that it was cut from")]
    block: Annotated[int, Column(pa.int32(), "clips of one block are always in one split")]
    split: Annotated[Split, Column(_STRING, "train, validation, test or excluded")]
    same_as: Annotated[str | None, Column(_STRING, "an earlier clip with exactly these pixels")] = None
    note: Annotated[str, Column(_STRING, "anything else")] = ""


@dataclass(frozen=True)
class RunRow:
    """A row of `sub-XX/runs.parquet`: one scanner run of a series."""

    run_id: Annotated[str, Column(_STRING, "name of the run, unique within the subject")]
    session: Annotated[str, Column(_STRING, "session in which it was scanned")]
    task: Annotated[str, Column(_STRING, "BIDS task, or film")]
    file: Annotated[str, Column(_STRING, "file that it was read from")]
    volumes: Annotated[int, Column(pa.int32(), "number of volumes; 0 if excluded")]
    first_row: Annotated[int, Column(pa.int64(), "its first row in bold.npy")]
    tr: Annotated[float, Column(_SECONDS, "seconds from volume to volume")]
    start_time_s: Annotated[float, Column(_SECONDS, "time of the first volume on the clock of the events")]
    sha256: Annotated[str, Column(_STRING, "SHA-256 of its rows of bold.npy, float32 in C order")]
    excluded: Annotated[str | None, Column(_STRING, "why it was left out")] = None


@dataclass(frozen=True)
class EventRow:
    """A row of `sub-XX/events.parquet`: one presentation of a clip during a run."""

    run_id: Annotated[str, Column(_STRING, "run of runs.parquet")]
    onset_s: Annotated[float, Column(_SECONDS, "when the clip begins")]
    duration_s: Annotated[float, Column(_SECONDS, "how long it is shown")]
    clip_id: Annotated[str, Column(_STRING, "clip of clips.parquet")]
    repeat: Annotated[int, Column(pa.int32(), "0 for the subject's first presentation of this clip, then 1, ...")]


@dataclass(frozen=True)
class PresentationRow:
    """A row of `sub-XX/rows.parquet`: the presentation that one row of `rows.npy` is the response to."""

    row: Annotated[int, Column(pa.int64(), "row of rows.npy")]
    clip_id: Annotated[str, Column(_STRING, "clip of clips.parquet")]
    repeat: Annotated[int, Column(pa.int32(), "0 for the subject's first presentation of this clip, then 1, ...")]
    session: Annotated[str, Column(_STRING, "session in which it was scanned")]
    run_id: Annotated[str, Column(_STRING, "run in which it was scanned")]


Row = TypeVar("Row", ClipRow, RunRow, EventRow, PresentationRow)
AnyRow = ClipRow | RunRow | EventRow | PresentationRow


@dataclass(frozen=True)
class VoxelTable:
    """`sub-XX/voxels.parquet`: where each voxel (or vertex) lies, and how reliable it is. All arrays have V entries."""

    roi: NDArray[np.str_]
    """Main region; "" for none."""
    structure: NDArray[np.str_] | None = None
    """CIFTI name of the structure, such as CIFTI_STRUCTURE_CORTEX_LEFT. None: unknown."""
    vertex: NDArray[np.int32] | None = None
    """Vertex of the structure's mesh; -1 for none."""
    ijk: NDArray[np.int32] | None = None
    """[V, 3] voxel indices in the volume; -1 for none."""
    regions: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Further regions, which may overlap: name to membership."""
    noise_ceiling_1: NDArray[np.float32] | None = None
    """Percent of the variance of a single response that the stimulus explains; NaN if unknown."""
    noise_ceiling_n: NDArray[np.float32] | None = None
    """The same of the mean over all repeats."""
    repeat_r: NDArray[np.float32] | None = None
    """Correlation between repeats."""

    def __len__(self) -> int:
        return len(self.roi)


_VOXEL_COLUMNS = (
    NamedColumn("voxel", pa.int32(), True, "column of bold.npy or rows.npy: 0, 1, 2, ..."),
    NamedColumn("structure", _STRING, False, "CIFTI name of the structure"),
    NamedColumn("vertex", pa.int32(), False, "vertex of the structure's mesh"),
    NamedColumn("i", pa.int32(), False, "voxel index, first axis"),
    NamedColumn("j", pa.int32(), False, "voxel index, second axis"),
    NamedColumn("k", pa.int32(), False, "voxel index, third axis"),
    NamedColumn(MAIN_ROI, _STRING, True, "main region; empty for none"),
    NamedColumn("noise_ceiling_1", pa.float32(), False, "noise ceiling of one presentation, percent of variance"),
    NamedColumn("noise_ceiling_n", pa.float32(), False, "noise ceiling of the mean over repeats, percent of variance"),
    NamedColumn("repeat_r", pa.float32(), False, "correlation between repeats of training clips"),
)
"""Further columns of booleans are regions."""
_FIXED = frozenset(column.name for column in _VOXEL_COLUMNS)

TABLES: Mapping[str, type[AnyRow] | type[VoxelTable]] = {
    "clips.parquet": ClipRow,
    "voxels.parquet": VoxelTable,
    "runs.parquet": RunRow,
    "events.parquet": EventRow,
    "rows.parquet": PresentationRow,
}
"""The class of each table, by the name of its file."""


def columns_of(table: type[AnyRow] | type[VoxelTable]) -> tuple[NamedColumn, ...]:
    """Return the columns of a table, in order."""
    return _VOXEL_COLUMNS if table is VoxelTable else tuple(_columns(table))


def _columns(table: type[Any]) -> Iterator[NamedColumn]:
    hints = get_type_hints(table, include_extras=True)
    for column in fields(table):
        annotated, stored = get_args(hints[column.name])[:2]
        optional = get_origin(annotated) in (Union, types.UnionType) and type(None) in get_args(annotated)
        yield NamedColumn(column.name, stored.type, not optional, stored.meaning)


def schema_of(table: type[AnyRow] | type[VoxelTable]) -> Any:
    """Return the Arrow schema of a table."""
    return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in columns_of(table)])


def write_rows(rows: Sequence[Row], table: type[Row], path: Path) -> None:
    """Write a table."""
    columns = columns_of(table)
    arrays = [pa.array([_stored(getattr(row, column.name)) for row in rows], column.type) for column in columns]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema_of(table)), path)


def _stored(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def read_typed_table(path: Path, table: type[Row]) -> tuple[Row, ...]:
    """Return the rows of the table at `path`; columns that the format does not name are ignored.

    Raises:
        DatasetError: It cannot be read, lacks a column or a required value, or has a column of another type.
    """
    arrow, problems = _checked(path, columns_of(table))
    if arrow is None:
        DataReport(tuple(problems)).raise_for_errors()
    names = [column.name for column in columns_of(table)]
    lists = [arrow[name].to_pylist() for name in names]
    return tuple(table(**dict(zip(names, map(_loaded, values), strict=True))) for values in zip(*lists, strict=True))


def _loaded(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def write_voxels(voxels: VoxelTable, path: Path) -> None:
    """Write a voxel table: unknown values are left empty, regions become columns of booleans."""
    count = len(voxels)
    ijk = voxels.ijk if voxels.ijk is not None else np.full((count, 3), -1, np.int32)
    values: dict[str, Any] = {
        "voxel": np.arange(count, dtype=np.int32),
        "structure": voxels.structure,
        "vertex": voxels.vertex,
        **dict(zip("ijk", ijk.T, strict=True)),
        MAIN_ROI: voxels.roi,
        "noise_ceiling_1": voxels.noise_ceiling_1,
        "noise_ceiling_n": voxels.noise_ceiling_n,
        "repeat_r": voxels.repeat_r,
    }
    arrays = [_nullable(values[column.name], column, count) for column in _VOXEL_COLUMNS]
    schema = schema_of(VoxelTable)
    for name, member in voxels.regions.items():
        arrays.append(pa.array(member))
        schema = schema.append(pa.field(name, pa.bool_(), nullable=False))
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def _nullable(values: NDArray[Any] | None, column: NamedColumn, count: int) -> Any:
    """Return an Arrow array, in which -1 of indices and NaN of measures are empty."""
    if values is None:
        return pa.nulls(count, column.type)
    if column.required or values.dtype.kind == "U":
        return pa.array(values.tolist() if values.dtype.kind == "U" else values, column.type)
    return pa.array(values, column.type, mask=np.isnan(values) if values.dtype.kind == "f" else values < 0)


def read_voxels(path: Path) -> VoxelTable:
    """Return the voxel table at `path`.

    Raises:
        DatasetError: As for `read_typed_table`, or a further column is not of booleans.
    """
    arrow, problems = _checked(path, _VOXEL_COLUMNS)
    if arrow is None:
        DataReport(tuple(problems)).raise_for_errors()
    if arrow["voxel"].to_numpy().tolist() != list(range(len(arrow))):
        what, right = "column voxel is not 0, 1, 2, ...", "row v of the table must describe column v of the array"
        raise DatasetError.of(DataProblem(str(path), what, right))
    ijk = np.stack([_indices(arrow[axis]) for axis in "ijk"], axis=1)
    vertex = _indices(arrow["vertex"])
    structure = arrow["structure"]
    return VoxelTable(
        roi=_texts(arrow[MAIN_ROI]),
        structure=_texts(structure) if structure.null_count < len(arrow) else None,
        vertex=vertex if (vertex >= 0).any() else None,
        ijk=ijk if (ijk >= 0).any() else None,
        regions=_regions(arrow, path),
        **{name: _measure(arrow[name]) for name in ("noise_ceiling_1", "noise_ceiling_n", "repeat_r")},
    )


def _indices(column: Any) -> NDArray[np.int32]:
    return np.asarray(column.fill_null(-1).to_numpy(), dtype=np.int32)


def _texts(column: Any) -> NDArray[np.str_]:
    return np.array([text if text is not None else "" for text in column.to_pylist()], dtype=np.str_)


def _measure(column: Any) -> NDArray[np.float32] | None:
    values = np.array([value if value is not None else np.nan for value in column.to_pylist()], np.float32)
    return None if np.isnan(values).all() else values


def _regions(arrow: Any, path: Path) -> dict[str, NDArray[np.bool_]]:
    regions = {}
    for column in arrow.schema:
        if column.name in _FIXED:
            continue
        if column.type != pa.bool_() or arrow[column.name].null_count:
            what = f"column {column.name} holds {column.type}, or empty values"
            raise DatasetError.of(DataProblem(str(path), what, "a further column is a region: true or false"))
        regions[column.name] = np.asarray(arrow[column.name].to_numpy(zero_copy_only=False), dtype=np.bool_)
    return regions


def table_problems(path: Path, table: type[AnyRow] | type[VoxelTable]) -> list[DataProblem]:
    """Return all problems of the table at `path`: file, columns, types, empty values."""
    return _checked(path, columns_of(table))[1]


def _checked(path: Path, columns: Sequence[NamedColumn]) -> tuple[Any, list[DataProblem]]:
    """Return the table with the types of `columns`, or None, and what is wrong with it."""
    if not path.is_file():
        return None, [DataProblem(str(path), "there is no such file", "every data set of this kind has this table")]
    try:
        arrow = pq.read_table(path)
    except Exception as error:  # Arrow may raise any exception on damaged input
        right = "it must be a Parquet file; if it is a pointer of git-annex or LFS, get the data first"
        return None, [DataProblem(str(path), f"cannot be read: {str(error).splitlines()[0]}", right)]
    problems, kept = [], {}
    for column in columns:
        problem, kept[column.name] = _column(arrow, column, path)
        problems += problem
    if problems:
        return None, problems
    others = {name: arrow[name] for name in arrow.column_names if name not in kept}
    return pa.table({**kept, **others}), []


def _column(arrow: Any, column: NamedColumn, path: Path) -> tuple[list[DataProblem], Any]:
    where = f"{path}, column {column.name}"
    if column.name not in arrow.column_names:
        if not column.required:
            return [], pa.nulls(len(arrow), column.type)
        return [DataProblem(str(path), f"has no column {column.name}", f"{column.type}: {column.meaning}")], None
    try:
        values = arrow[column.name].combine_chunks().cast(column.type)
    except Exception as error:  # Arrow has several classes for a cast that fails
        what = f"holds {arrow[column.name].type}: {str(error).splitlines()[0]}"
        return [DataProblem(where, what, f"it must hold {column.type}: {column.meaning}")], None
    if pa.types.is_floating(column.type):
        values = pc.if_else(pc.is_nan(values), None, values)  # pandas leaves NaN where there is no value
        if pc.any(pc.is_inf(values)).as_py():
            row = pc.is_inf(values).to_pylist().index(True)
            return [DataProblem(where, f"is infinite in row {row}", f"it must be a number: {column.meaning}")], None
    if pa.types.is_list(column.type) and values.flatten().null_count:
        return [DataProblem(where, "holds lists with empty entries", f"leave them out: {column.meaning}")], None
    if column.required and values.null_count:
        row = values.is_null().to_pylist().index(True)
        what = f"{values.null_count} empty value(s), the first in row {row}"
        return [DataProblem(where, what, f"every row needs one: {column.meaning}")], None
    return [], values
