"""Checks the clips of a prepared data set: the table, the pixels, leaks between splits."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from trainables.datasets.clips import Frames
from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.description import ClipShape
from trainables.datasets.prepared.parts import Advance
from trainables.datasets.prepared.read import ArrayFile, PreparedSet, array_file
from trainables.datasets.prepared.similarity import difference_hash, near_pairs
from trainables.datasets.prepared.tables import SPLITS, ClipRow

_TABLE = "clips.parquet"
_LONG_WORDS = 60
"""CLIP's text encoder reads 77 tokens; some words take several."""


def clip_problems(data: PreparedSet, advance: Advance) -> Iterator[DataProblem]:
    """Yield what is wrong with table and pixels. Raises `DatasetError` if the table cannot be read."""
    yield from clip_table_problems(data)
    hashes: list[int] = []
    problems = [*_pixels(data, hashes, advance)]
    yield from problems
    if not problems:
        yield from _near(data.clips, hashes, data.folder / _TABLE)


def clip_table_problems(data: PreparedSet) -> Iterator[DataProblem]:
    """Yield what is wrong with the table. Raises `DatasetError` if it cannot be read."""
    yield from table_rules(data.clips, data.folder / _TABLE)
    yield from _counts(data.clips, data.description.clips, data.folder / _TABLE)
    yield from duplicate_rules(data.clips, data.folder / _TABLE)


def table_rules(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    """Yield what is wrong with the table; reads no pixels."""
    if not clips:
        yield DataProblem(str(path), "has no rows", "a data set needs clips")
        return
    twice = [name for name, count in Counter(clip.clip_id for clip in clips).items() if count > 1]
    if twice:
        what = f"{len(twice)} clip_id(s) occur twice: {some(twice)}"
        yield DataProblem(f"{path}, column clip_id", what, "give every clip a name of its own")
    yield from _splits(clips, path)
    yield from _captions(clips, path)
    yield from _times(clips, path)


def _splits(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    where = f"{path}, column split"
    unknown = sorted({clip.split for clip in clips} - set(SPLITS))
    if unknown:
        yield DataProblem(where, f"holds {some(map(repr, unknown))}", f"it must be one of {', '.join(SPLITS)}")
    for split in ("train", "validation", "test"):
        if all(clip.split != split for clip in clips):
            yield DataProblem(where, f"no clip is {split!r}", "training, validation and test need clips of their own")
    of_block: dict[int, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.split != "excluded":
            of_block[clip.block].add(clip.split)
    mixed = [block for block, splits in of_block.items() if len(splits) > 1]
    if mixed:
        what = f"block {mixed[0]} is in {' and '.join(sorted(of_block[mixed[0]]))}; {len(mixed)} such block(s)"
        yield DataProblem(f"{path}, column block", what, "clips of one block must be in one split")
    yield from _neighbours(clips, path)


def _neighbours(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    """Yield a warning if clips of different splits follow each other directly in one film."""
    timed = sorted(
        (clip.source, clip.start_s, clip.end_s, clip.split)
        for clip in clips
        if clip.start_s is not None and clip.end_s is not None and clip.split != "excluded"
    )
    pairs = [
        (first, second)
        for first, second in pairwise(timed)
        if first[0] == second[0] and first[3] != second[3] and second[1] - first[2] < 1.0
    ]
    if pairs:
        (source, _, end, split), (_, _, _, other) = pairs[0]
        what = f"{len(pairs)} clip(s) directly follow one of another split, first in {source!r} at {end:g} s"
        right = f"frames at this border are almost equal in {split} and {other}: split by whole films, or leave a gap"
        yield DataProblem(f"{path}, column split", what, right, fatal=False)


def _captions(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    where = f"{path}, column caption"
    empty = [clip.clip_id for clip in clips if not clip.caption.strip() or not all(map(str.strip, clip.captions))]
    if empty:
        yield DataProblem(where, f"{len(empty)} clip(s) without a text: {some(empty)}", "every clip needs one")
    absent = [clip.clip_id for clip in clips if clip.caption not in clip.captions]
    if absent:
        what = f"not among `captions` for {len(absent)} clip(s): {some(absent)}"
        yield DataProblem(where, what, "`captions` lists all texts, `caption` among them")
    long = [clip.clip_id for clip in clips if max(len(text.split()) for text in (clip.caption, *clip.captions)) > 60]
    if long:
        what = f"{len(long)} clip(s) have a text of over {_LONG_WORDS} words: {some(long)}"
        yield DataProblem(where, what, "the text encoder reads 77 tokens, the rest is cut off", fatal=False)
    yield from _repeated_captions(clips, where)


def _repeated_captions(clips: Sequence[ClipRow], where: str) -> Iterator[DataProblem]:
    (text, count), *_ = Counter(clip.caption for clip in clips).most_common(1)
    if count > max(2, len(clips) // 10):
        what = f"{count} of {len(clips)} clips have the caption {text[:60]!r}"
        yield DataProblem(where, what, "a text that fits many clips describes none of them well", fatal=False)
    train = {clip.caption for clip in clips if clip.split == "train"}
    shared = [clip.clip_id for clip in clips if clip.split == "test" and clip.caption in train]
    if shared:
        what = f"{len(shared)} test clip(s) have the caption of a training clip: {some(shared)}"
        yield DataProblem(where, what, "both may show the same scene; look at them", fatal=False)


def _times(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    for clip in clips:
        if clip.start_s is None or clip.end_s is None:
            continue
        if clip.end_s <= clip.start_s:
            what = f"clip {clip.clip_id!r} ends at {clip.end_s:g} s, but starts at {clip.start_s:g} s"
            yield DataProblem(f"{path}, column end_s", what, "times are seconds from the start of the film")
        elif clip.fps is not None and abs(clip.frames / clip.fps - (clip.end_s - clip.start_s)) > 0.5:
            what = f"clip {clip.clip_id!r}: {clip.frames} frames at {clip.fps:g} per second are not "
            what += f"{clip.end_s - clip.start_s:g} s"
            yield DataProblem(f"{path}, column fps", what, "give the frames per second as stored", fatal=False)


def _counts(clips: Sequence[ClipRow], shape: ClipShape, path: Path) -> Iterator[DataProblem]:
    if len(clips) != shape.count:
        what = f"has {len(clips)} rows, but dataset.json says {shape.count} clips"
        yield DataProblem(str(path), what, "correct clips.count in dataset.json, or restore the table")
    wrong = [clip.clip_id for clip in clips if clip.frames != shape.frames]
    if wrong:
        what = f"{len(wrong)} clip(s) do not have {shape.frames} frames: {some(wrong)}"
        yield DataProblem(f"{path}, column frames", what, "all clips must have the frames that dataset.json says")


def _pixels(data: PreparedSet, hashes: list[int], advance: Advance) -> Iterator[DataProblem]:
    """Read every clip once: compare its digest, and collect its difference hash in `hashes`."""
    shape, table = data.description.clips, data.folder / _TABLE
    expected = (shape.frames, shape.height, shape.width, 3)
    bad_files: set[str] = set()
    files: dict[str, ArrayFile] = {}
    for clip in data.clips:
        if clip.file in bad_files:
            continue
        try:
            file = files[clip.file] if clip.file in files else _clip_file(data.folder, clip.file)
            files[clip.file] = file
        except DatasetError as error:
            bad_files.add(clip.file)
            yield from error.problems
            continue
        where = f"{data.folder / clip.file}, clip {clip.clip_id!r}"
        if clip.index is not None and not 0 <= clip.index < file.shape[0]:
            yield DataProblem(where, f"index {clip.index}, but it holds {file.shape[0]} clips", f"correct {table.name}")
            continue
        stored_shape = file.shape if clip.index is None else file.shape[1:]
        if file.dtype != np.uint8 or stored_shape != expected:
            yield DataProblem(where, f"is {file.dtype} {list(stored_shape)}", f"must be uint8 {list(expected)}")
            bad_files.add(clip.file)
            continue
        frames = _frames_of(file, clip.index)
        yield from _content(clip, frames, where)
        hashes.append(difference_hash(frames))
        advance(frames.nbytes)


def _content(clip: ClipRow, frames: np.ndarray, where: str) -> Iterator[DataProblem]:
    sha256 = hashlib.sha256(frames.data).hexdigest()
    if sha256 != clip.sha256:
        what = f"its frames have the SHA-256 {sha256[:12]}..., but the table says {clip.sha256[:12]}..."
        yield DataProblem(where, what, "the file was changed or damaged: prepare the data again")
    if frames.max() == frames.min():
        yield DataProblem(where, f"every pixel is {frames.max()}", "the clip is empty; leave it out", fatal=False)


def _frames_of(file: ArrayFile, index: int | None) -> Frames:
    """Return a clip of a file: a row of a shard, or all of it."""
    return file.rows(index, index + 1)[0] if index is not None else file.rows(0, file.shape[0])


def _clip_file(folder: Path, name: str) -> ArrayFile:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        right = "files must lie in the folder of the data set"
        raise DatasetError.of(DataProblem(f"{folder / _TABLE}, column file", f"is {name!r}", right))
    return array_file(folder / name)


def duplicate_rules(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    """Yield clips with the same pixels: an error across splits, a warning within one."""
    by_id = {clip.clip_id: clip for clip in clips}
    first: dict[str, ClipRow] = {}
    unnamed = []
    for clip in clips:
        twin = first.setdefault(clip.sha256, clip)
        if twin is not clip and clip.same_as is None:
            unnamed.append(clip.clip_id)
        named = by_id.get(clip.same_as) if clip.same_as is not None else None
        if clip.same_as is not None and (named is None or named.sha256 != clip.sha256):
            what = f"clip {clip.clip_id!r} names {clip.same_as!r}, which does not have the same pixels"
            yield DataProblem(f"{path}, column same_as", what, "name an earlier clip with equal sha256, or none")
    if unnamed:
        what = f"empty for {len(unnamed)} clip(s) with the pixels of an earlier one: {some(unnamed)}"
        yield DataProblem(f"{path}, column same_as", what, "they count twice; name the earlier clip", fatal=False)
    yield from _leaks(clips, path)


def _leaks(clips: Sequence[ClipRow], path: Path) -> Iterator[DataProblem]:
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for clip in clips:
        if clip.split != "excluded":
            splits[clip.sha256].setdefault(clip.split, clip.clip_id)
    leaks = [" and ".join(f"{name} ({split})" for split, name in each.items()) for each in splits.values()]
    leaks = [leak for leak, each in zip(leaks, splits.values(), strict=True) if len(each) > 1]
    if leaks:
        what = f"{len(leaks)} clip(s) with the same pixels lie in two splits: {some(leaks)}"
        yield DataProblem(f"{path}, column split", what, "put them into one split, or exclude one")


def _near(clips: Sequence[ClipRow], hashes: Sequence[int], path: Path) -> Iterator[DataProblem]:
    used = [index for index, clip in enumerate(clips) if clip.split != "excluded"]
    splits = ["test" if clips[index].split == "test" else "train" for index in used]
    pairs = [
        (clips[used[first]], clips[used[second]])
        for first, second in near_pairs([hashes[index] for index in used], splits)
    ]
    named = [f"{first.clip_id} ({first.split}) and {second.clip_id} ({second.split})" for first, second in pairs]
    named = [name for name, (one, two) in zip(named, pairs, strict=True) if one.sha256 != two.sha256]
    if named:
        what = f"{len(named)} pair(s) of test and other clips look nearly equal: {some(named)}"
        right = "look at them: such clips make the scores of the test too high"
        yield DataProblem(f"{path}, column split", what, right, fatal=False)


@dataclass(frozen=True)
class ClipFacts:
    """The facts about clips that the checks of subjects need."""

    seconds: dict[str, float | None]
    """Length of each clip, if known."""
    split: dict[str, str]

    @classmethod
    def of(cls, clips: Sequence[ClipRow]) -> "ClipFacts":
        """Return the facts in the table of clips."""
        return cls({clip.clip_id: _seconds(clip) for clip in clips}, {clip.clip_id: clip.split for clip in clips})


def _seconds(clip: ClipRow) -> float | None:
    return clip.end_s - clip.start_s if clip.start_s is not None and clip.end_s is not None else None
