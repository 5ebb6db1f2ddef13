"""Writes the clips of a prepared data set in shards; one that was finished before is not made again."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from trainables.datasets.clips import Frames
from trainables.datasets.errors import ClipError, DataProblem, DataReport, DatasetError
from trainables.datasets.npy_files import write_npy_header
from trainables.datasets.prepared.parts import Advance, RunParts, parts_here
from trainables.datasets.prepared.source import SourceClip
from trainables.datasets.prepared.workspace import Workspace, file_stamp

SHARD = 256
"""Clips per file."""


@dataclass(frozen=True)
class StoredClip:
    """Where a clip lies, and its digest."""

    file: str
    index: int
    sha256: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Shard:
    """Clips that are written into one file."""

    number: int
    clips: Sequence[SourceClip]
    path: Path
    shape: tuple[int, ...] | None = None
    """Of a clip, [F, H, W, 3], once one has been read."""

    @property
    def key(self) -> str:
        return f"clips-{self.number:05d}"

    @property
    def stamp(self) -> list[list[object]]:
        return [[clip.clip_id, *file_stamp(clip.file)] for clip in self.clips]


@dataclass(frozen=True)
class _WrittenShard:
    clips: Sequence[StoredClip]
    problems: Sequence[DataProblem] = ()


def write_clips(
    clips: Sequence[SourceClip], space: Workspace, advance: Advance, run_parts: RunParts = parts_here
) -> list[StoredClip]:
    """Write all clips in shards. Raises `DatasetError`, which lists all clips that cannot be used."""
    folder = space.folder / "clips"
    folder.mkdir(exist_ok=True)
    shards = [
        _Shard(number, clips[start : start + SHARD], folder / f"shard_{number:05d}.npy")
        for number, start in enumerate(range(0, len(clips), SHARD))
    ]
    written = dict(_kept_shards(shards, space))
    missing = [shard for shard in shards if shard.number not in written]
    advance(sum(len(shard.clips) for shard in shards if shard.number in written))
    while missing:
        shape = next((shard.clips[0].shape for shard in written.values() if shard.clips), None)
        # The first clip says which shape all others must have.
        batch, missing = (missing, []) if shape is not None else (missing[:1], missing[1:])
        with closing(run_parts(_write_shard, [replace(each, shape=shape) for each in batch])) as results:
            for index, shard in results:
                written[batch[index].number] = shard
                if not shard.problems:
                    space.finish(batch[index].key, batch[index].stamp, [astuple(clip) for clip in shard.clips])
                advance(len(batch[index].clips))
    in_order = [written[number] for number in range(len(shards))]
    DataReport(tuple(problem for shard in in_order for problem in shard.problems)).raise_for_errors()
    return [clip for shard in in_order for clip in shard.clips]


def _kept_shards(shards: Sequence[_Shard], space: Workspace) -> Iterator[tuple[int, _WrittenShard]]:
    for shard in shards:
        facts = space.part(shard.key, shard.stamp)
        if facts is not None:
            clips = [StoredClip(file, index, sha256, tuple(shape)) for file, index, sha256, shape in facts]
            yield shard.number, _WrittenShard(clips)


def _write_shard(shard: _Shard) -> _WrittenShard:
    """Write clips one after the other, so that only one is in memory."""
    stored: list[StoredClip] = []
    problems, shape, path = [], shard.shape, shard.path
    with path.open("wb") as file:
        for index, clip in enumerate(shard.clips):
            try:
                frames = _frames(clip, shape)
            except (ClipError, DatasetError, OSError) as error:
                problems.append(DataProblem(_where(clip), str(error), "replace the clip, or take it out of the tables"))
                continue
            if shape is None:
                shape = frames.shape
            if not stored:
                write_npy_header(file, (len(shard.clips), *shape), "|u1")
            file.write(frames.data)
            sha256 = hashlib.sha256(frames.data).hexdigest()
            stored.append(StoredClip(f"clips/{path.name}", index, sha256, shape))
    return _WrittenShard(stored, problems)


def _where(clip: SourceClip) -> str:
    return f"clip {clip.clip_id!r} ({clip.file})" if clip.file else f"clip {clip.clip_id!r}"


def _frames(clip: SourceClip, shape: tuple[int, ...] | None) -> Frames:
    frames = np.ascontiguousarray(clip.read())
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ClipError(f"is {frames.dtype} {list(frames.shape)}, but must be uint8 [frames, height, width, 3]")
    if shape is not None and frames.shape != shape:
        raise ClipError(f"has shape {list(frames.shape)}, but the first clip {list(shape)}")
    return frames
