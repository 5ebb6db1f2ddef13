"""Writes clips and fMRI of a prepared data set in parts. Finished parts are not made again.

A part is a shard of clips or a recording of a subject. Tables are written when all parts are finished.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from trainables.datasets.clips import Frames
from trainables.datasets.errors import ClipError, DataProblem, DataReport, DatasetError
from trainables.datasets.prepared.description import SetKind
from trainables.datasets.prepared.source import (
    DataBlock,
    DataSource,
    RunRecording,
    ShownClip,
    SourceClip,
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

SHARD = 256
"""Clips per file."""
_CHUNK = 1 << 22
"""Bytes that are read at a time."""
Advance = Callable[[int], None]
"""Is called with the number of clips, or of rows, that have just been written."""


@dataclass(frozen=True)
class StoredClip:
    """The file of a clip, its index there, and its digest."""

    file: str
    index: int
    sha256: str
    shape: tuple[int, ...]


def write_clips(clips: Sequence[SourceClip], space: Workspace, advance: Advance) -> list[StoredClip]:
    """Write all clips in shards. Raises `DatasetError`, which lists all clips that cannot be used."""
    (space.folder / "clips").mkdir(exist_ok=True)
    stored: list[StoredClip] = []
    problems: list[DataProblem] = []
    for number, start in enumerate(range(0, len(clips), SHARD)):
        batch = clips[start : start + SHARD]
        key, stamp = f"clips-{number:05d}", [[clip.clip_id, *file_stamp(clip.file)] for clip in batch]
        facts = space.part(key, stamp)
        if facts is not None:
            stored += [StoredClip(file, index, sha256, tuple(shape)) for file, index, sha256, shape in facts]
        else:
            path = space.folder / "clips" / f"shard_{number:05d}.npy"
            shard, of_shard = _write_shard(batch, path, stored[0].shape if stored else None)
            stored, problems = stored + shard, problems + of_shard
            if not of_shard:
                space.finish(key, stamp, [astuple(clip) for clip in shard])
        advance(len(batch))
    DataReport(tuple(problems)).raise_for_errors()
    return stored


def _write_shard(
    clips: Sequence[SourceClip], path: Path, shape: tuple[int, ...] | None
) -> tuple[list[StoredClip], list[DataProblem]]:
    """Write clips one after the other, so that only one is in memory."""
    stored: list[StoredClip] = []
    problems = []
    with path.open("wb") as file:
        for index, clip in enumerate(clips):
            try:
                frames = _frames(clip, shape)
            except (ClipError, DatasetError, OSError) as error:
                problems.append(DataProblem(_where(clip), str(error), "replace the clip, or take it out of the tables"))
                continue
            if shape is None:
                shape = frames.shape
            if not stored:
                _header(file, (len(clips), *shape), "|u1")
            file.write(frames.data)
            sha256 = hashlib.sha256(frames.data).hexdigest()
            stored.append(StoredClip(f"clips/{path.name}", index, sha256, shape))
    return stored, problems


def _where(clip: SourceClip) -> str:
    return f"clip {clip.clip_id!r} ({clip.file})" if clip.file else f"clip {clip.clip_id!r}"


def _frames(clip: SourceClip, shape: tuple[int, ...] | None) -> Frames:
    frames = np.ascontiguousarray(clip.read())
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ClipError(f"is {frames.dtype} {list(frames.shape)}, but must be uint8 [frames, height, width, 3]")
    if shape is not None and frames.shape != shape:
        raise ClipError(f"has shape {list(frames.shape)}, but the first clip {list(shape)}")
    return frames


def _header(file: IO[bytes], shape: tuple[int, ...], descr: str) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


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


def write_subject(subject: SourceSubject, source: DataSource, space: Workspace, advance: Advance) -> StoredSubject:
    """Write array and tables of a subject of `source`, except its voxel table.

    Raises:
        DatasetError: Its data cannot be used; nothing of it is left.
        OSError: A file cannot be read; nothing of it is left.
    """
    try:
        return _write_subject(subject, source, space, advance)
    except (DatasetError, OSError):
        for path in (space.folder / subject.name).glob("*"):
            path.unlink()
        if (space.folder / subject.name).is_dir():
            (space.folder / subject.name).rmdir()
        space.forget(f"{subject.name}-")
        raise


def _write_subject(subject: SourceSubject, source: DataSource, space: Workspace, advance: Advance) -> StoredSubject:
    voxels, recordings, kind = subject.voxels(), subject.recordings(), source.facts.kind
    _check_recordings(recordings, kind, subject.name)
    folder = space.folder / subject.name
    folder.mkdir(exist_ok=True)
    path = folder / ("bold.npy" if kind == "series" else "rows.npy")
    first_row, runs = 0, []
    with path.open("r+b" if path.exists() else "w+b") as file:
        offset = _sized(file, (0, len(voxels)))
        for number, recording in enumerate(recordings):
            run = _run_row(recording, first_row, source.root)
            if recording.excluded is None:
                key, stamp = f"{subject.name}-{number:05d}", [*_stamps(recording), recording.rows, len(voxels)]
                region = _Region(path, offset, first_row, (recording.rows, len(voxels)))
                digest = space.part(key, [*stamp, first_row])
                if digest is None:
                    digest = _write_recording(recording, file, region, voxels)
                    space.finish(key, [*stamp, first_row], digest)
                run = replace(run, sha256=digest)
            runs.append(run)
            first_row += run.volumes
            advance(recording.rows)
        if first_row == 0:
            raise DatasetError.of(DataProblem(subject.name, "no recording can be used", "see why they are excluded"))
        file.truncate(offset + first_row * len(voxels) * 4)
        _sized(file, (first_row, len(voxels)))
    shown = _write_tables(recordings, runs, kind, folder)
    excluded = tuple(f"{run.run_id}: {run.excluded}" for run in runs if run.excluded is not None)
    return StoredSubject(subject.name, voxels, tuple(runs), shown, excluded)


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


def _sized(file: IO[bytes], shape: tuple[int, int]) -> int:
    """Write the header of an array of `shape`, and return its size, which is the same for any number of rows."""
    file.seek(0)
    _header(file, shape, "<f4")
    return file.tell()


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


def _write_recording(recording: RunRecording, file: IO[bytes], region: _Region, voxels: VoxelTable) -> str:
    """Write the blocks of a recording to their rows and voxels, and return the digest of the rows."""
    file.truncate(region.start)  # removes rows of an interrupted attempt
    file.truncate(region.end)
    file.flush()
    cells = 0
    for block in recording.blocks():
        _check_block(block, recording, region.shape, voxels)
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


def _check_block(block: DataBlock, recording: RunRecording, shape: tuple[int, int], voxels: VoxelTable) -> None:
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
            f"{block.first_row + row}, voxel {voxel} (region {str(voxels.roi[voxel])!r})"
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
