"""Damages of a prepared data set, each with the rule that it breaks and the message that names it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.trainables.prepared.labs import (
    CLIPS,
    edit_clips,
    edit_description,
    names,
)
from trainables.datasets.prepared.description import ClipShape
from trainables.datasets.prepared.tables import (
    EventRow,
    PresentationRow,
    Row,
    RunRow,
    VoxelTable,
    read_typed_table,
    read_voxels,
    write_rows,
    write_voxels,
)

Damage = Callable[[Path], object]


def edit(folder: Path, path: str, table: type[Row], change: Callable[[int, Row], Row]) -> None:
    rows = [change(index, row) for index, row in enumerate(read_typed_table(folder / path, table))]
    write_rows(rows, table, folder / path)
    edit_description(folder, files={})


def edit_voxels(folder: Path, change: Callable[[VoxelTable], VoxelTable]) -> None:
    path = folder / "sub-01" / "voxels.parquet"
    write_voxels(change(read_voxels(path)), path)
    edit_description(folder, files={})


def edit_array(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / "sub-01" / name
    np.save(path, change(np.load(path)))
    edit_description(folder, files={})


def clip(field: str, value: Any, *, at: str = "clip000") -> Damage:
    """Return the damage of one cell of clips.parquet."""
    return lambda folder: edit_clips(folder, lambda row: replace(row, **{field: value}) if row.clip_id == at else row)


def all_clips(**fields: Any) -> Damage:
    return lambda folder: edit_clips(folder, lambda row: replace(row, **fields))


def event(index: int, **fields: Any) -> Damage:
    def change(number: int, row: EventRow) -> EventRow:
        return replace(row, **fields) if number == index else row

    return lambda folder: edit(folder, "sub-01/events.parquet", EventRow, change)


def run(index: int, **fields: Any) -> Damage:
    def change(number: int, row: RunRow) -> RunRow:
        return replace(row, **fields) if number == index else row

    return lambda folder: edit(folder, "sub-01/runs.parquet", RunRow, change)


def presentation(index: int, **fields: Any) -> Damage:
    def change(number: int, row: PresentationRow) -> PresentationRow:
        return replace(row, **fields) if number == index else row

    return lambda folder: edit(folder, "sub-01/rows.parquet", PresentationRow, change)


def nan(array: np.ndarray) -> np.ndarray:
    array[5, 2] = np.nan
    return array


def constant(array: np.ndarray) -> np.ndarray:
    array[:, 3] = 1.0
    return array


def repeat_rows(array: np.ndarray) -> np.ndarray:
    array[12:14] = array[2:4]
    return array


def recolour(folder: Path) -> None:
    array = np.load(folder / "clips" / "shard_00000.npy")
    array[2, 0, 0, 0] ^= 1
    np.save(folder / "clips" / "shard_00000.npy", array)
    edit_description(folder, files={})


def copy_subject(folder: Path) -> None:
    for path in (folder / "sub-01").iterdir():
        shutil.copy(path, folder / "sub-02" / path.name)
    edit_description(folder, files={})


def other_mesh(folder: Path) -> None:
    edit_voxels(folder, lambda table: replace(table, vertex=np.arange(6, dtype=np.int32) + 32490))
    edit_description(folder, space="fsLR-32k")


def silence(folder: Path) -> None:
    path = folder / "sub-01" / "events.parquet"
    write_rows([event for event in read_typed_table(path, EventRow) if event.run_id != "run-3"], EventRow, path)
    edit_description(folder, files={})


def dangling(folder: Path) -> None:
    path = folder / "clips" / "shard_00000.npy"
    path.unlink()
    path.symlink_to("../.git/annex/objects/x1/MD5E-s12--ab.npy")


ERRORS: dict[str, tuple[str, Damage, str]] = {
    "clip name twice": ("rows", clip("clip_id", "clip001"), r"clip_id\(s\) occur twice: clip001; give every clip"),
    "split word": ("rows", clip("split", "training"), r"column split: holds 'training'; it must be one of train, val"),
    "split empty": ("rows", all_clips(split="train"), r"no clip is 'test'; training, validation and test need clips"),
    "block mixed": (
        "rows",
        lambda folder: edit_clips(folder, lambda row: replace(row, block=0)),
        r"column block: block 0 is in test and train and validation; .*clips of one block must be in one split",
    ),
    "caption": ("rows", clip("caption", " "), r"column caption: 1 clip\(s\) without a text: clip000; every clip"),
    "captions": ("rows", clip("captions", ("other",)), r"not among `captions` for 1 clip\(s\): clip000; `captions`"),
    "times": (
        "rows",
        lambda folder: edit_clips(folder, lambda row: replace(row, start_s=4.0, end_s=2.0)),
        r"column end_s: clip 'clip000' ends at 2 s, but starts at 4 s; times are seconds",
    ),
    "count": (
        "rows",
        lambda folder: edit_description(folder, clips=ClipShape(count=11, frames=4, height=32, width=32)),
        r"clips\.parquet: has 12 rows, but dataset\.json says 11 clips; correct clips\.count",
    ),
    "frames": ("rows", clip("frames", 5), r"column frames: 1 clip\(s\) do not have 4 frames: clip000; all clips"),
    "shape": (
        "rows",
        lambda folder: edit_description(folder, clips=ClipShape(count=CLIPS, frames=4, height=64, width=32)),
        r"shard_00000\.npy, clip 'clip000': is uint8 \[4, 32, 32, 3\]; must be uint8 \[4, 64, 32, 3\]",
    ),
    "file": ("rows", clip("file", "clips/none.npy"), r"clips/none\.npy: there is no such file; it must be a NumPy"),
    "file outside": ("rows", clip("file", "../x.npy"), r"column file: is '\.\./x\.npy'; files must lie in the folder"),
    "index": ("rows", clip("index", 99), r"clip 'clip000': index 99, but it holds 12 clips; correct clips\.parquet"),
    "pixels": ("rows", recolour, r"clip 'clip002': its frames have the SHA-256 .*, but the table says .*changed or"),
    "same_as": ("rows", clip("same_as", "clip005"), r"'clip000' names 'clip005', which does not have the same pixels"),
    "lag": ("rows", lambda folder: edit_description(folder, lag_s=4.0), r"lag_s: is 4 for kind rows; .*set it to 0"),
    "no subject": (
        "rows",
        lambda folder: edit_description(folder, subjects=()),
        r"subjects: is empty; name the folder",
    ),
    "subject absent": (
        "rows",
        lambda folder: edit_description(folder, subjects=("sub-01", "sub-07")),
        r"sub-07/rows\.npy: there is no such file",
    ),
    "row numbers": ("rows", presentation(3, row=9), r"column row: has 24 rows numbered .*it must be 0, 1, 2, \.\.\."),
    "row clip": (
        "rows",
        presentation(3, clip_id="x"),
        r"column clip_id: names 1 clip\(s\) that clips\.parquet does not",
    ),
    "row repeat": ("rows", presentation(3, repeat=7), r"column repeat: clip '.*' has the repeats .*7.*numbered 0, 1"),
    "array type": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", lambda array: array.astype(np.float64)),
        r"rows\.npy: is float64 \[24, 6\]; it must be float32 \[rows, voxels\] in C order",
    ),
    "array order": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", np.asfortranarray),
        r"rows\.npy: is float32 \[24, 6\] in Fortran order; it must be",
    ),
    "voxel count": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", lambda array: array[:, :5].copy()),
        r"rows\.npy: has 5 voxels, but voxels\.parquet 6 rows; row v of the table",
    ),
    "NaN": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", nan),
        r"1 value\(s\) of 1 voxel\(s\) are NaN or infinite, the first in row 5, voxel 2; remove these voxels",
    ),
    "rows twice": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", repeat_rows),
        r"rows\.npy: rows 2 and 12 hold the same values; 2 row\(s\) have those of an earlier one; a session, a repeat",
    ),
    "all constant": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", np.zeros_like),
        r"rows\.npy: every voxel is constant; the file holds no measurement",
    ),
    "twin subjects": ("rows", copy_subject, r"sub-01 and sub-02 hold the same values; every subject needs data"),
    "vertex twice": (
        "rows",
        lambda folder: edit_voxels(folder, lambda table: replace(table, vertex=np.array([0, 0, 1, 2, 3, 4], np.int32))),
        r"column vertex: occurs twice: CIFTI_STRUCTURE_CORTEX_LEFT 0; no two voxels share a vertex",
    ),
    "mesh": (
        "rows",
        other_mesh,
        r"vertex 32495 does not exist in space fsLR-32k, which has 32492 vertices",
    ),
    "ceiling": (
        "rows",
        lambda folder: edit_voxels(folder, lambda table: replace(table, noise_ceiling_n=np.full(6, 120.0, np.float32))),
        r"column noise_ceiling_n: runs from 120 to 120; it is a percentage",
    ),
    "file missing": (
        "rows",
        lambda folder: (folder / "sub-02" / "rows.parquet").unlink(),
        r"sub-02/rows\.parquet: is missing; copy it again",
    ),
    "file cut": (
        "rows",
        lambda folder: (folder / "sub-01" / "rows.npy").write_bytes((folder / "sub-01" / "rows.npy").read_bytes()[:-4]),
        r"rows\.npy: has 700 bytes, but dataset\.json says 704; the file was changed or cut off",
    ),
    "file changed": (
        "rows",
        lambda folder: np.save(folder / "sub-01" / "rows.npy", np.load(folder / "sub-01" / "rows.npy") + 1),
        r"rows\.npy: has the SHA-256 .*, but dataset\.json says .*; the file was changed or damaged",
    ),
    "digest": (
        "rows",
        lambda folder: edit_description(folder, digest="00"),
        r"dataset\.json, digest: does not fit the files; prepare the data again",
    ),
    "pointer": ("rows", dangling, r"shard_00000\.npy: is a link to a file that does not exist; get the content first"),
    "run gap": ("series", run(1, first_row=7), r"first_row: run 'run-2' begins in row 7, but the runs before it end"),
    "run name": ("series", run(1, run_id="run-1"), r"column run_id: occurs twice: run-1; each run needs its own name"),
    "volumes": ("series", run(3, volumes=5), r"column volumes: the runs have 23 volumes, but bold\.npy 24 rows"),
    "no TR": ("series", run(0, tr=0.0), r"runs\.parquet: run 'run-1' has 6 volumes of 0 s; give both, or fill in"),
    "TR": (
        "series",
        lambda folder: edit_description(folder, tr=1.5),
        r"column tr: is 2 s, but dataset\.json says 1\.5",
    ),
    "run digest": ("series", run(0, sha256="00"), r"run 'run-1' has the SHA-256 .*, but runs\.parquet says 00"),
    "twin runs": (
        "series",
        lambda folder: edit_array(folder, "bold.npy", lambda array: np.concatenate([array[:6]] * 2 + [array[12:]])),
        r"runs 'run-1' and 'run-2' hold the same values; one file was copied",
    ),
    "event clip": ("series", event(0, clip_id="x"), r"events\.parquet, column clip_id: names 1 clip\(s\) that clips"),
    "event run": ("series", event(0, run_id="x"), r"names 1 run\(s\) that runs\.parquet does not have: x; correct"),
    "event late": ("series", event(0, onset_s=12.0), r"begins at 12 s, but the run lasts from 0 to 12 s; onsets are"),
    "event early": ("series", event(0, onset_s=-1.0), r"begins at -1 s, but the run lasts from 0 to 12 s; onsets are"),
    "event repeat": ("series", event(0, repeat=3), r"column repeat: clip 'clip000' has the repeats \[3\]"),
}


WARNINGS: dict[str, tuple[str, Damage, str]] = {
    "long caption": ("rows", clip("captions", ("scene 0", "word " * 61)), r"1 clip\(s\) have a text of over 60 words"),
    "same caption": (
        "rows",
        all_clips(caption="a", captions=("a",)),
        r"12 of 12 clips have the caption 'a'; .*\n.*test clip\(s\) have the caption of a training clip",
    ),
    "neighbours": (
        "rows",
        lambda folder: edit_clips(
            folder,
            lambda row: replace(
                row, source="film", start_s=2.0 * names().index(row.clip_id), end_s=2.0 * names().index(row.clip_id) + 2
            ),
        ),
        r"clip\(s\) directly follow one of another split, first in 'film' at 6 s; frames at this border",
    ),
    "fps": (
        "rows",
        lambda folder: edit_clips(folder, lambda row: replace(row, start_s=0.0, end_s=2.0, fps=24.0, source="x")),
        r"column fps: clip 'clip000': 4 frames at 24 per second are not 2 s; give the frames per second as stored",
    ),
    "constant": (
        "rows",
        lambda folder: edit_array(folder, "rows.npy", constant),
        r"rows\.npy: 1 constant voxel\(s\): 1 in MT; they carry no information and are left out",
    ),
    "never shown": ("series", event(0, clip_id="clip001", repeat=1), r"clips never shown to this subject: 1 train"),
    "answer late": (
        "series",
        event(2, onset_s=9.0),
        r"begins at 9 s, so its response 4 s later is after the run's end",
    ),
    "silent run": ("series", silence, r"events\.parquet: no events in run\(s\) run-3; they are not used"),
    "TR differs": ("series", run(1, tr=2.5), r"column tr: runs differ: 2 s, 2\.5 s"),
    "no region": (
        "rows",
        lambda folder: edit_voxels(folder, lambda table: replace(table, roi=np.full(6, "", np.str_))),
        r"column roi: no voxel has a region; results by region are not available",
    ),
    "right first": (
        "rows",
        lambda folder: edit_voxels(
            folder,
            lambda table: replace(
                table, structure=np.array(["CIFTI_STRUCTURE_CORTEX_RIGHT"] * 3 + ["CIFTI_STRUCTURE_CORTEX_LEFT"] * 3)
            ),
        ),
        r"column structure: the right hemisphere comes first; compare",
    ),
    "licence": (
        "rows",
        lambda folder: edit_description(folder, licence=""),
        r"dataset\.json, licence: is empty; fill it in",
    ),
    "extra file": (
        "rows",
        lambda folder: (folder / "notes.txt").write_text("x"),
        r"notes\.txt: is not named in dataset\.json; it is not used",
    ),
    "extra subject": (
        "rows",
        lambda folder: edit_description(folder, subjects=("sub-01",), files={}),
        r"dataset\.json, subjects: does not name sub-02; name them",
    ),
}
