"""`python -m platform.prepare rows FOLDER`: a lab's own arrays with one row per presentation of a clip."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trainables.datasets.errors import DataProblem, DataReport, DatasetError
from trainables.datasets.prepared.source import DataBlock, DataSource, RunRecording, ShownClip, SourceSubject
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.lab_folder import (
    LabClips,
    LabOptions,
    find_clips,
    lab_facts,
    lab_voxels,
    open_clips,
    subject_folders,
    unknown_clips,
)
from trainables.preparation.lab_tables import ARRAY_SUFFIXES, LabArray, one_file, open_array, read_table, texts

_STEM = "rows"
_RIGHT = (
    "row i must be the response to clip i; or add rows.csv with a column clip_id, or bring [clips, repeats, voxels]"
)


class Settings(LabOptions):
    """Settings of this reader."""


def open_source(options: Settings) -> DataSource:
    """Open the folder: clips, captions and tables. Raises `DatasetError`."""
    clips = open_clips(options)
    subjects = [
        SourceSubject(folder.name, partial(_voxels, folder, options), partial(_recordings, folder, clips))
        for folder in subject_folders(options)
    ]
    return DataSource(lab_facts(options, name="rows", kind="rows"), clips.clips, subjects, root=options.folder)


def _array(folder: Path, options: LabOptions) -> LabArray:
    path = one_file(folder, _STEM, ARRAY_SUFFIXES)
    if path is None:
        right = f"it must hold rows with one of the suffixes {', '.join(ARRAY_SUFFIXES)}"
        raise DatasetError.of(DataProblem(str(folder), "has no file called rows", right))
    return open_array(path, key=options.key, dimensions=(2, 3))


def _voxels(folder: Path, options: Settings) -> VoxelTable:
    return lab_voxels(folder, _array(folder, options).shape[-1])


def _recordings(folder: Path, clips: LabClips) -> list[RunRecording]:
    array, names = _array(folder, clips.options), clips.names
    if len(array.shape) == 3:
        return [_repeated(array, names)]
    table = one_file(folder, _STEM, (".csv", ".tsv"))
    if table is not None:
        shown = _shown(table, names)
    elif array.shape[0] == len(names):
        shown = [ShownClip(name) for name in names]
    else:
        raise DatasetError.of(DataProblem(str(array.path), f"{array.shape[0]} rows for {len(names)} clips", _RIGHT))
    if len(shown) != array.shape[0]:
        what = f"has {len(shown)} rows, but {array.path.name} {array.shape[0]}"
        raise DatasetError.of(DataProblem(str(table), what, "row i of the table must describe row i of the array"))
    return [RunRecording(_STEM, str(array.path), array.shape[0], shown, array.blocks)]


def _shown(path: Path, names: list[str]) -> list[ShownClip]:
    columns = read_table(path, needed=["clip_id"])
    keys = texts(columns["clip_id"])
    DataReport(tuple(unknown_clips(keys, names, path, rows="rows"))).raise_for_errors()
    sessions, runs = (texts(columns.get(name, [""] * len(keys))) for name in ("session", "run_id"))
    return [
        ShownClip(name, session=session, run_id=run)
        for name, session, run in zip(find_clips(keys, names), sessions, runs, strict=True)
        if name is not None
    ]


def _repeated(array: LabArray, names: list[str]) -> RunRecording:
    """Return [clips, repeats, voxels] as rows; a repeat whose values are all NaN was not measured."""
    if array.shape[0] != len(names):
        raise DatasetError.of(DataProblem(str(array.path), f"{array.shape[0]} clips for {len(names)}", _RIGHT))
    measured = np.concatenate([~np.isnan(array.rows(row, row + 1)).all(axis=-1) for row in range(len(names))])
    shown = [ShownClip(name) for name, repeats in zip(names, measured, strict=True) for _ in range(repeats.sum())]
    return RunRecording(_STEM, str(array.path), len(shown), shown, partial(_measured, array))


def _measured(array: LabArray) -> Iterator[DataBlock]:
    first_row = 0
    for row in range(array.shape[0]):
        values = array.rows(row, row + 1)[0]
        values = values[~np.isnan(values).all(axis=-1)]
        if len(values):
            yield DataBlock(values, first_row=first_row)
        first_row += len(values)
