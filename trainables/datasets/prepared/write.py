"""Writes the fMRI of a prepared data set. Each recording is a part: one that was finished before is not made again.

Parts are made one after the other or at the same time, also on several machines: each has a region of the subject's
array. Tables are written when all parts are there.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, DataReport, DatasetError
from trainables.datasets.npy_files import write_npy_header
from trainables.datasets.prepared.description import SetKind
from trainables.datasets.prepared.parts import Advance, RunParts, parts_here
from trainables.datasets.prepared.source import (
    DataBlock,
    DataSource,
    RunRecording,
    ShownClip,
    SourceSubject,
)
from trainables.datasets.prepared.tables import (
    EventRow,
    PresentationRow,
    RunRow,
    VoxelTable,
    write_rows,
)
from trainables.datasets.prepared.workspace import Workspace, file_stamp

_CHUNK = 1 << 22
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class StoredSubject:
    """The written parts of a subject. Its voxel table is written later, with its noise ceiling."""

    name: str
    voxels: VoxelTable
    runs: tuple[RunRow, ...]
    shown: tuple[tuple[str, str], ...]
    """Clip and run of each presentation."""
    excluded: tuple[str, ...]
    """Recordings that were left out, with the reason."""


def write_subject(
    subject: SourceSubject,
    source: DataSource,
    space: Workspace,
    advance: Advance,
    run_parts: RunParts = parts_here,
) -> StoredSubject:
    """Write array and tables of a subject of `source`, except its voxel table.

    Raises:
        DatasetError: Its data cannot be used; nothing of it is left.
        OSError: A file cannot be read; nothing of it is left.
    """
    try:
        return _write_subject(subject, source, space, advance, run_parts)
    except (DatasetError, OSError):
        space.discard(subject.name)
        raise


def _write_subject(
    subject: SourceSubject, source: DataSource, space: Workspace, advance: Advance, run_parts: RunParts
) -> StoredSubject:
    voxels, recordings, kind = subject.voxels(), subject.recordings(), source.facts.kind
    _check_recordings(recordings, kind, subject.name)
    folder = space.folder / subject.name
    folder.mkdir(exist_ok=True)
    path = folder / ("bold.npy" if kind == "series" else "rows.npy")
    runs = _run_rows(recordings, source.root)
    parts = [*_recording_parts(recordings, runs, voxels, path)]
    rows = sum(run.volumes for run in runs)
    if rows == 0:
        raise DatasetError.of(DataProblem(subject.name, "no recording can be used", "see why they are excluded"))
    advance(sum(recording.rows for recording in recordings if recording.excluded is not None))
    digests = _write_recordings(parts, (rows, len(voxels)), space, advance, run_parts)
    runs = [replace(run, sha256=digests.get(run.run_id, "")) for run in runs]
    shown = _write_tables(recordings, runs, kind, folder)
    excluded = tuple(f"{run.run_id}: {run.excluded}" for run in runs if run.excluded is not None)
    return StoredSubject(subject.name, voxels, tuple(runs), shown, excluded)


def _run_rows(recordings: Sequence[RunRecording], root: Path | None) -> list[RunRow]:
    """Return the table of runs, but for the digests."""
    runs, first_row = [], 0
    for recording in recordings:
        runs.append(_run_row(recording, first_row, root))
        first_row += runs[-1].volumes
    return runs


def _recording_parts(
    recordings: Sequence[RunRecording], runs: Sequence[RunRow], voxels: VoxelTable, path: Path
) -> Iterator["_RecordingPart"]:
    """Yield what is to be written of each recording that is used."""
    for number, (recording, run) in enumerate(zip(recordings, runs, strict=True)):
        if recording.excluded is None:
            region = _Region(path, _header_size(), run.first_row, (recording.rows, len(voxels)))
            yield _RecordingPart(number, recording, region, voxels.roi)


def _write_recordings(
    parts: Sequence["_RecordingPart"],
    shape: tuple[int, int],
    space: Workspace,
    advance: Advance,
    run_parts: RunParts,
) -> dict[str, str]:
    """Write the recordings that are not there yet into one array; return the digest of each, by the name of its run."""
    kept = {part.recording.run_id: space.part(part.key, part.stamp) for part in parts}
    digests: dict[str, str] = {run: digest for run, digest in kept.items() if digest is not None}
    advance(sum(part.recording.rows for part in parts if part.recording.run_id in digests))
    missing = [part for part in parts if part.recording.run_id not in digests]
    if missing:
        _make_array(missing[0].region.path, shape)
    with closing(run_parts(_write_recording, missing)) as results:
        for index, digest in results:
            if isinstance(digest, Exception):
                raise digest
            space.finish(missing[index].key, missing[index].stamp, digest)
            digests[missing[index].recording.run_id] = digest
            advance(missing[index].recording.rows)
    return digests


def _make_array(path: Path, shape: tuple[int, int]) -> None:
    """Make an array of this size, or give the one that an interrupted attempt left this size; its rows stay."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        write_npy_header(file, shape, "<f4")
        file.truncate(file.tell() + shape[0] * shape[1] * 4)


def _header_size() -> int:
    """Return the bytes before the first row, which are as many for any number of rows."""
    file = io.BytesIO()
    write_npy_header(file, (0, 0), "<f4")
    return file.tell()


def _stamps(recording: RunRecording) -> list[object]:
    return [each for file in (recording.file, *recording.further_files) for each in file_stamp(file)]


def _check_recordings(recordings: Sequence[RunRecording], kind: SetKind, subject: str) -> None:
    """Check the headers, before anything is written."""
    twice = [name for name, count in Counter(recording.run_id for recording in recordings).items() if count > 1]
    problems = [DataProblem(subject, f"two recordings are called {name!r}", "run_id must be unique") for name in twice]
    for recording in recordings:
        if recording.excluded is None and kind == "rows" and len(recording.shown) != recording.rows:
            what = f"{recording.rows} rows, but {len(recording.shown)} presentations"
            problems.append(DataProblem(recording.file, what, "each row must be the response to one presentation"))
        if recording.excluded is None and kind == "series" and recording.tr <= 0:
            problems.append(DataProblem(recording.file, f"TR is {recording.tr} s", "it must be above 0"))
    DataReport(tuple(problems)).raise_for_errors()


def _run_row(recording: RunRecording, first_row: int, root: Path | None) -> RunRow:
    file = Path(recording.file)
    return RunRow(
        run_id=recording.run_id,
        session=recording.session,
        task=recording.task,
        file=file.relative_to(root).as_posix() if root is not None and file.is_relative_to(root) else file.name,
        volumes=recording.rows if recording.excluded is None else 0,
        first_row=first_row,
        tr=recording.tr,
        start_time_s=recording.start_time_s,
        sha256="",
        excluded=recording.excluded,
    )


@dataclass(frozen=True)
class _Region:
    """The rows of a recording within the array's file."""

    path: Path
    offset: int
    first_row: int
    shape: tuple[int, int]

    @property
    def start(self) -> int:
        return self.offset + self.first_row * self.shape[1] * 4

    @property
    def end(self) -> int:
        return self.start + self.shape[0] * self.shape[1] * 4


@dataclass(frozen=True)
class _RecordingPart:
    """A recording, and where it is written."""

    number: int
    """Among the recordings of the subject."""
    recording: RunRecording
    region: _Region
    roi: NDArray[np.str_]
    """The region of each voxel, for messages."""

    @property
    def key(self) -> str:
        return f"{self.region.path.parent.name}-{self.number:05d}"

    @property
    def stamp(self) -> list[object]:
        return [*_stamps(self.recording), *self.region.shape, self.region.first_row]


def _write_recording(part: _RecordingPart) -> str | DatasetError | OSError:
    """Write the blocks of a recording to their places; return the digest of its rows, or why it cannot be used."""
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):  # so that sums do not depend on the number of cores
            return _write_blocks(part.recording, part.region, part.roi)
    except (DatasetError, OSError) as error:
        return error


def _write_blocks(recording: RunRecording, region: _Region, roi: NDArray[np.str_]) -> str:
    cells = 0
    for block in recording.blocks():
        _check_block(block, recording, region.shape, roi)
        _write_block(block, region)
        cells += block.values.size
    if cells != region.shape[0] * region.shape[1]:
        what = f"{cells} values were read, but {region.shape[0]} rows x {region.shape[1]} voxels are expected"
        raise DatasetError.of(DataProblem(recording.file, what, "the file is shorter than its header says"))
    return _region_digest(region)


def _write_block(block: DataBlock, region: _Region) -> None:
    """Write a block. The file is mapped anew for each, since pages of a mapped file count as memory."""
    target = np.memmap(region.path, np.float32, "r+", region.start, region.shape)
    rows, columns = block.values.shape
    target[block.first_row : block.first_row + rows, block.first_voxel : block.first_voxel + columns] = block.values


def _region_digest(region: _Region) -> str:
    digest, left = hashlib.sha256(), region.end - region.start
    with region.path.open("rb") as file:
        file.seek(region.start)
        while left > 0:
            chunk = file.read(min(left, _CHUNK))
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _check_block(block: DataBlock, recording: RunRecording, shape: tuple[int, int], roi: NDArray[np.str_]) -> None:
    rows, columns = block.values.shape
    if block.first_row + rows > shape[0] or block.first_voxel + columns > shape[1]:
        what = f"holds more than {shape[0]} rows or {shape[1]} voxels"
        raise DatasetError.of(DataProblem(recording.file, what, "the voxel table must describe every column"))
    bad = ~np.isfinite(block.values)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        voxel = block.first_voxel + column
        what = (
            f"{int(bad.any(axis=0).sum())} voxel(s) hold NaN or infinite values, the first in row "
            f"{block.first_row + row}, voxel {voxel} (region {str(roi[voxel])!r})"
        )
        raise DatasetError.of(DataProblem(recording.file, what, "remove the voxels from all runs, or the file"))


def _write_tables(
    recordings: Sequence[RunRecording], runs: Sequence[RunRow], kind: SetKind, folder: Path
) -> tuple[tuple[str, str], ...]:
    """Write the tables of runs and presentations, and return clip and run of each presentation."""
    used = [recording for recording in recordings if recording.excluded is None]
    if kind == "series":
        write_rows(runs, RunRow, folder / "runs.parquet")
        events = [*_events(used)]
        write_rows(events, EventRow, folder / "events.parquet")
        return tuple((event.clip_id, event.run_id) for event in events)
    rows = [*_presentations(used)]
    write_rows(rows, PresentationRow, folder / "rows.parquet")
    return tuple((row.clip_id, row.run_id) for row in rows)


def _events(recordings: Sequence[RunRecording]) -> Iterator[EventRow]:
    seen: Counter[str] = Counter()
    for recording in recordings:
        for shown in sorted(recording.shown, key=lambda shown: shown.onset_s):
            yield EventRow(recording.run_id, shown.onset_s, shown.duration_s, shown.clip_id, seen[shown.clip_id])
            seen[shown.clip_id] += 1


def _presentations(recordings: Sequence[RunRecording]) -> Iterator[PresentationRow]:
    seen: Counter[str] = Counter()
    everything = ((recording, shown) for recording in recordings for shown in recording.shown)
    for row, (recording, shown) in enumerate(everything):
        session, run_id = _origin(recording, shown)
        yield PresentationRow(row, shown.clip_id, seen[shown.clip_id], session, run_id)
        seen[shown.clip_id] += 1


def _origin(recording: RunRecording, shown: ShownClip) -> tuple[str, str]:
    return shown.session if shown.session else recording.session, shown.run_id if shown.run_id else recording.run_id
