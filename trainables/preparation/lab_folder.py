"""A lab's own folder: clips, captions, tables, and a folder of fMRI per subject (docs/data-format.md)."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.names import question
from trainables.datasets.captions import read_caption_lists
from trainables.datasets.clip_names import clip_name, same_spelling
from trainables.datasets.clips import clips_in
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.description import ReaderUsed, SetFacts, SetKind
from trainables.datasets.prepared.source import SourceClip
from trainables.datasets.prepared.tables import SPLITS, Split, VoxelTable
from trainables.preparation.clip_files import read_square_clip
from trainables.preparation.lab_tables import (
    ARRAY_SUFFIXES,
    TABLE_SUFFIXES,
    LabColumns,
    numbers,
    one_file,
    read_table,
    texts,
)
from trainables.preparation.options import FolderOptions

VERSION = 1
_CLIP_COLUMNS = ("clip_id", "source", "start_s", "end_s", "fps", "split", "block", "caption", "note")
_VOXEL_COLUMNS = ("voxel", "roi", "structure", "vertex", "i", "j", "k")
_TRUE_FALSE: Mapping[Any, bool] = {1: True, 0: False, "true": True, "false": False}
"""True and False are equal to 1 and 0."""


class LabOptions(FolderOptions):
    """The options of the readers of a lab's own arrays."""

    clips: str = "clips"
    """folder in FOLDER with the clips: GIF, video, folders of PNG, or .npy [frames, height, width, 3]"""
    captions: str = ""
    """file in FOLDER with the captions (default: captions.json, .csv or .txt); not needed if the table of clips has a
    column caption"""
    key: str = ""
    """name of the array within HDF5 files (default: the only one with the right number of dimensions)"""
    space: str = ""
    """space of the voxels, such as fsLR-32k"""
    units: Literal["zscore", "psc", "a.u."] = "a.u."
    """units of the fMRI: z-scored, percent signal change, or arbitrary"""


def lab_facts(
    options: LabOptions, *, name: str, kind: SetKind, lag_s: float = 0.0, tr: float | None = None
) -> SetFacts:
    """Return the facts about the data set."""
    return SetFacts(
        name="",
        kind=kind,
        licence=options.licence,
        source=str(options.folder),
        reader=ReaderUsed(name=name, version=VERSION, options=options.model_dump(mode="json")),
        space=options.space,
        units=options.units,
        lag_s=lag_s,
        tr=tr,
    )


@dataclass(frozen=True)
class LabClips:
    """The clips of a lab's folder, with captions and table."""

    paths: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    table: LabColumns
    """In the order of `paths`; empty if there is none."""
    options: LabOptions

    @property
    def names(self) -> list[str]:
        """The clips' names: those of their files without suffix."""
        return [clip_name(path) for path in self.paths]

    def clips(self) -> Iterator[SourceClip]:
        """Yield all clips."""
        asked = self.options
        for index, path in enumerate(self.paths):
            fields = {name: values[index] for name, values in self.table.items() if values[index] is not None}
            yield SourceClip(
                clip_id=clip_name(path),
                read=partial(read_square_clip, path, frames=asked.frames, side=asked.resolution, fit=asked.fit),
                captions=self.captions[index],
                file=str(path),
                **fields,
            )


def open_clips(options: LabOptions) -> LabClips:
    """Find the clips, their captions and their table. Raises `DatasetError`."""
    folder = options.folder / options.clips
    if not folder.is_dir():
        what = "there is no such folder"
        raise DatasetError.of(DataProblem(str(folder), what, "it must hold the clips; choose another with --clips"))
    paths = clips_in(folder, arrays=True)
    names = [clip_name(path) for path in paths]
    if not paths:
        raise DatasetError.of(DataProblem(str(folder), "there are no clips", "put GIF, video, PNG or .npy there"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"two clips are called {twice[0]!r}"
        raise DatasetError.of(DataProblem(str(folder), what, "names must differ without their suffix"))
    table = _clip_table(options, names)
    return LabClips(tuple(paths), _captions(options, names, table), _typed(table, options), options)


def _clip_table(options: LabOptions, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the columns of clips.csv in the order of `names`."""
    path = one_file(options.folder, "clips", TABLE_SUFFIXES)
    if path is None:
        return {}
    columns = read_table(path, needed=["clip_id"])
    order, problems = in_clip_order(texts(columns.pop("clip_id")), names, path)
    unknown = sorted(columns.keys() - set(_CLIP_COLUMNS))
    if unknown:
        what = f"has the column(s) {', '.join(unknown)}"
        problems.append(DataProblem(str(path), what, f"columns may be {', '.join(_CLIP_COLUMNS)}"))
    DataReport(tuple(problems)).raise_for_errors()
    return {name: [values[row] for row in order] for name, values in columns.items()}


def in_clip_order(keys: Sequence[str], names: Sequence[str], path: Path) -> tuple[list[int], list[DataProblem]]:
    """Return the row of each of `names` in a table with `keys`, and what is wrong."""
    clips = find_clips(keys, names)
    rows = {name: row for row, name in enumerate(clips) if name is not None}
    missing = [name for name in names if name not in rows]
    unknown = [key for key, name in zip(keys, clips, strict=True) if name is None]
    problems = []
    if missing:
        what = f"has no row for {len(missing)} clip(s): {some(missing, most=5)}"
        problems.append(DataProblem(str(path), what, "each clip needs one row"))
    if unknown:
        problems.append(DataProblem(str(path), _not_there(unknown, names), "take out these rows, or add the clips"))
    if not problems and len(keys) > len(names):
        problems.append(DataProblem(str(path), f"has {len(keys)} rows for {len(names)} clips", "each needs one row"))
    return [rows.get(name, 0) for name in names], problems


def find_clips(keys: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """Return the clip of each key of a table, given with or without folder and suffix; None for unknown ones."""
    unique = set(names)
    return [_find_clip(same_spelling(key), unique) for key in keys]


def _find_clip(key: str, names: Set[str]) -> str | None:
    return next((candidate for candidate in (key, Path(key).name, Path(key).stem) if candidate in names), None)


def unknown_clips(keys: Sequence[str], names: Sequence[str], path: Path, *, rows: str) -> list[DataProblem]:
    """Return an error if the column clip_id names unknown clips. `rows` is the word for its rows in the message."""
    clips = find_clips(keys, names)
    unknown = sorted({key for key, name in zip(keys, clips, strict=True) if name is None})
    right = f"add the clips, or take out these {rows}"
    return [DataProblem(f"{path}, column clip_id", _not_there(unknown, names), right)] if unknown else []


def _not_there(unknown: Sequence[str], names: Sequence[str]) -> str:
    asked = question(unknown[0], names)
    listed = some(unknown, most=5)
    return f"names {len(unknown)} clip(s) that are not there: {listed}{f' ({asked})' if asked else ''}"


def _captions(options: LabOptions, names: Sequence[str], table: Mapping[str, list[Any]]) -> tuple[tuple[str, ...], ...]:
    if options.captions == "" and "caption" in table:
        return tuple((text,) for text in texts(table["caption"]))
    path = options.folder / options.captions if options.captions else _default_captions(options.folder)
    captions, problems = read_caption_lists(path, names)
    DataReport(tuple(problems)).raise_for_errors()
    return tuple(captions)


def _default_captions(folder: Path) -> Path:
    found = one_file(folder, "captions", (".json", ".csv", ".txt"))
    return found if found is not None else folder / "captions.json"


def _typed(table: Mapping[str, list[Any]], options: LabOptions) -> dict[str, list[Any]]:
    """Return the columns of the clips' table with the types that clips have."""
    where = f"{options.folder}/clips"
    typed: dict[str, list[Any]] = {}
    for name, values in table.items():
        if name in ("start_s", "end_s", "fps"):
            typed[name] = [
                float(value) if isinstance(value, int | float) else _refused(name, value, where) for value in values
            ]
        elif name == "block":
            typed[name] = [int(value) for value in numbers(values, f"{where}, column block")]
        elif name == "split":
            typed[name] = [_split(value, where) for value in values]
        elif name != "caption":
            typed[name] = texts(values)
    return typed


def _refused(name: str, value: object, where: str) -> float | None:
    if value is None:
        return None
    raise DatasetError.of(DataProblem(f"{where}, column {name}", f"holds {value!r}", "it must hold numbers"))


def _split(value: object, where: str) -> Split | None:
    if value is not None and value not in SPLITS:
        right = f"it must be {', '.join(SPLITS)}"
        raise DatasetError.of(DataProblem(f"{where}, column split", f"holds {value!r}", right))
    return value


def subject_folders(options: LabOptions) -> list[Path]:
    """Return the folders in FOLDER that hold arrays, except the folder of the clips."""
    found = [
        entry
        for entry in sorted(options.folder.iterdir())
        if entry.is_dir() and entry.name != options.clips and not entry.name.startswith(".") and _has_arrays(entry)
    ]
    if not found:
        what = "there is no folder with fMRI, such as sub-01"
        right = f"put the arrays ({', '.join(ARRAY_SUFFIXES)}) of each subject into a folder of its own"
        raise DatasetError.of(DataProblem(str(options.folder), what, right))
    return found


def _has_arrays(folder: Path) -> bool:
    return any(path.suffix in ARRAY_SUFFIXES for path in folder.iterdir())


def lab_voxels(folder: Path, count: int) -> VoxelTable:
    """Return the voxel table of a subject from voxels.csv, .tsv or .parquet, or an empty one.

    Raises:
        DatasetError: It does not have `count` rows, or a column does not fit.
    """
    path = one_file(folder, "voxels", TABLE_SUFFIXES)
    if path is None:
        return VoxelTable(np.full(count, "", dtype=np.str_))
    columns = read_table(path)
    rows = len(next(iter(columns.values()), []))
    if rows != count:
        what = f"has {rows} rows, but the fMRI {count} voxels"
        raise DatasetError.of(DataProblem(str(path), what, "row v must describe voxel v"))
    ijk = [_integers(columns[axis], path, axis) for axis in "ijk" if axis in columns]
    return VoxelTable(
        roi=np.array(texts(columns.get("roi", [""] * count)), dtype=np.str_),
        structure=np.array(texts(columns["structure"]), dtype=np.str_) if "structure" in columns else None,
        vertex=_integers(columns["vertex"], path, "vertex") if "vertex" in columns else None,
        ijk=np.stack(ijk, axis=1) if len(ijk) == 3 else None,
        regions={name: _member(columns[name], path, name) for name in columns if name not in _VOXEL_COLUMNS},
    )


def _integers(values: Sequence[Any], path: Path, name: str) -> NDArray[np.int32]:
    filled = [-1 if value is None else value for value in values]
    return np.array(numbers(filled, f"{path}, column {name}"), dtype=np.int32)


def _member(values: Sequence[Any], path: Path, name: str) -> NDArray[np.bool_]:
    known = [value.lower() if isinstance(value, str) else value for value in values]
    wrong = [value for value in known if value not in _TRUE_FALSE]
    if wrong:
        right = "a further column is a region: true or false, 1 or 0"
        raise DatasetError.of(DataProblem(f"{path}, column {name}", f"holds {wrong[0]!r}", right))
    return np.array([_TRUE_FALSE[value] for value in known], dtype=np.bool_)
