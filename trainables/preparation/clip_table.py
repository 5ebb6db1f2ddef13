"""The table of clips of a data set that is prepared: which clip is in which split, and what is left out."""

from collections.abc import Sequence

from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.blocks import ClipOrigin, SplitResult, SplitRule, split_clips
from trainables.datasets.prepared.clip_shards import StoredClip
from trainables.datasets.prepared.source import SourceClip
from trainables.datasets.prepared.tables import ClipRow, Split
from trainables.datasets.prepared.write import StoredSubject
from trainables.preparation.options import ReaderOptions


def split_stored(
    clips: Sequence[SourceClip],
    stored: Sequence[StoredClip],
    subjects: Sequence[StoredSubject],
    options: ReaderOptions,
) -> SplitResult:
    """Split the clips as the options say; clips of one scanner run stay together where that is asked for."""
    runs: dict[str, set[str]] = {}
    for subject in subjects:
        for clip_id, run in subject.shown:
            runs.setdefault(clip_id, set()).add(f"{subject.name} {run}")
    origins = [
        ClipOrigin(
            clip.clip_id, clip.source, kept.sha256, tuple(sorted(runs.get(clip.clip_id, ()))), clip.split, clip.block
        )
        for clip, kept in zip(clips, stored, strict=True)
    ]
    rule = SplitRule(
        options.split_by, options.validation_fraction, options.test_fraction, options.block_clips, options.seed
    )
    return split_clips(origins, rule)


def clip_rows(
    clips: Sequence[SourceClip], stored: Sequence[StoredClip], split: SplitResult, options: ReaderOptions
) -> tuple[list[ClipRow], list[DataProblem]]:
    """Return the table of clips. Copies of test clips leave the other splits, or are refused."""
    parts, notes = list(split.split), [clip.note for clip in clips]
    copies = _leaking(stored, parts)
    warnings = [_copies_problem([clips[index].clip_id for index in copies], options)] if copies else []
    for index in copies:
        parts[index], notes[index] = "excluded", _joined(notes[index], "excluded: same pixels as a clip held out")
    return [
        ClipRow(
            clip_id=clip.clip_id,
            file=kept.file,
            index=kept.index,
            start_s=clip.start_s,
            end_s=clip.end_s,
            fps=clip.fps,
            frames=kept.shape[0],
            sha256=kept.sha256,
            caption=clip.captions[0],
            captions=clip.captions,
            source=clip.source,
            block=split.block[index],
            split=parts[index],
            same_as=split.same_as[index],
            note=notes[index],
        )
        for index, (clip, kept) in enumerate(zip(clips, stored, strict=True))
    ], warnings


def _copies_problem(copies: Sequence[str], options: ReaderOptions) -> DataProblem:
    """Return the warning that copies of held-out clips are left out. Raises `DatasetError` if they are refused."""
    what = f"{len(copies)} clip(s) have the pixels of a test or validation clip: {some(copies, most=5)}"
    if options.duplicates == "refuse":
        raise DatasetError.of(DataProblem("clips", what, "remove them, or use --duplicates exclude"))
    return DataProblem("clips", what, "left out, so that no held-out clip is learned", fatal=False)


def _leaking(stored: Sequence[StoredClip], split: Sequence[Split]) -> list[int]:
    """Return the clips with the pixels of a clip in a stricter held-out split (test, then validation)."""
    rank = {"train": 0, "validation": 1, "test": 2}
    highest: dict[str, int] = {}
    for clip, part in zip(stored, split, strict=True):
        highest[clip.sha256] = max(highest.get(clip.sha256, 0), rank.get(part, 0))
    return [
        index
        for index, (clip, part) in enumerate(zip(stored, split, strict=True))
        if part != "excluded" and rank[part] < highest[clip.sha256]
    ]


def _joined(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
