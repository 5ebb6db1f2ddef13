"""Writes an opened source as a prepared data set: parts first, then tables, checks and digests; the rename comes last.

An error in the clips stops everything, since all subjects share them. A subject with an error is left out, and the
data set records why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.blocks import ClipOrigin, SplitResult, SplitRule, split_clips
from trainables.datasets.prepared.description import ClipShape, Description, LagCurve, write_description
from trainables.datasets.prepared.digest import digest_files, set_digest
from trainables.datasets.prepared.read import PreparedSet, PreparedSubject
from trainables.datasets.prepared.source import DataSource, RunRecording, SourceClip, SourceSubject
from trainables.datasets.prepared.tables import ClipRow, Split, write_rows, write_voxels
from trainables.datasets.prepared.validate import bytes_to_read, validate
from trainables.datasets.prepared.workspace import Workspace, open_workspace
from trainables.datasets.prepared.write import StoredClip, StoredSubject, write_clips, write_subject
from trainables.preparation.card import write_card
from trainables.preparation.filtering import outlasts_drift
from trainables.preparation.options import ReaderOptions
from trainables.preparation.reliability import (
    Responses,
    check_subject_lag,
    clip_motion,
    lag_findings,
    with_reliability,
)

Step = Literal["clips", "fMRI", "digests", "checks"]
ReportProgress = Callable[[Step, int, int], None]
"""Is called with the step, how much of it has just been done, and how much there is in all."""


def no_progress(step: Step, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Prepared:
    """A data set that has been written."""

    folder: Path
    description: Description
    report: DataReport
    """Warnings, and an error for each subject that was left out."""


def prepare(
    source: DataSource, options: ReaderOptions, out: Path, *, progress: ReportProgress = no_progress
) -> Prepared:
    """Write `source` to the new or empty folder `out`.

    The same command continues after a kill at the last finished part.

    Raises:
        DatasetError: The data cannot be used; there is no folder `out`.
        UnfinishedError: The same, and parts of the data set are kept.
    """
    about = _asked(source, options, out)
    request = {"facts": about.facts.model_dump(mode="json"), "options": options.model_dump(mode="json")}
    with open_workspace(out, request) as space:
        try:
            return _prepare(about, options, space, progress)
        except DatasetError as error:
            if space.has_parts:
                raise _with_hint(error, space) from error
            space.remove()
            raise


class UnfinishedError(DatasetError):
    """The data cannot be used as they are, and finished parts are kept for the next attempt."""


def _with_hint(error: DatasetError, space: Workspace) -> UnfinishedError:
    text = f"{error}\nfinished parts are kept in {space.folder}; after a repair, the same command continues with them"
    hinted = UnfinishedError(text)
    hinted.problems = error.problems
    return hinted


def _asked(source: DataSource, options: ReaderOptions, out: Path) -> DataSource:
    """Return the source with the name, licence and subjects that the options give."""
    given = {
        "name": options.name if options.name else source.facts.name if source.facts.name else out.name,
        "licence": options.licence if options.licence else source.facts.licence,
        "citation": (*source.facts.citation, *options.citation),
        "previews": options.previews if options.previews is not None else source.facts.previews,
    }
    names = [subject.name for subject in source.subjects]
    unknown = [name for name in options.subjects if name not in names]
    if unknown:
        right = f"there are: {', '.join(names)}"
        raise DatasetError.of(DataProblem("--subject", f"there is no {', '.join(unknown)}", right))
    chosen = [subject for subject in source.subjects if not options.subjects or subject.name in options.subjects]
    return replace(source, facts=source.facts.model_copy(update=given), subjects=chosen)


def _prepare(source: DataSource, options: ReaderOptions, space: Workspace, progress: ReportProgress) -> Prepared:
    clips = [*source.clips()]
    _check_ids(clips)
    stored = write_clips(clips, space, lambda count: progress("clips", count, len(clips)))
    subjects, noticed = _write_subjects(source, space, progress)
    split = _split(clips, stored, subjects, options)
    rows, excluded = _clip_rows(clips, stored, split, options)
    write_rows(rows, ClipRow, space.folder / "clips.parquet")
    description = _described(source, stored, subjects, split.by)
    data = PreparedSet(space.folder, description)
    for subject, written in zip(subjects, data.subjects, strict=True):
        _write_voxels(subject, written, rows, source.facts.lag_s)
    curves, of_lag = _lag_curves(data)
    description = description.model_copy(update={"lag_curve": curves})
    problems = (*source.warnings, *noticed, *split.warnings, *excluded, *of_lag)
    return _publish(_with_defects(description, subjects, problems), problems, space, progress)


def _write_voxels(subject: StoredSubject, written: PreparedSubject, clips: Sequence[ClipRow], lag_s: float) -> None:
    """Write the voxel table, with the reliability of each voxel unless the reader has given it."""
    train = frozenset(clip.clip_id for clip in clips if clip.split == "train")
    voxels = subject.voxels
    if voxels.noise_ceiling_1 is None and voxels.repeat_r is None:
        voxels = with_reliability(voxels, Responses(written, lag_s), train)
    write_voxels(voxels, written.folder / "voxels.parquet")


def _lag_curves(data: PreparedSet) -> tuple[dict[str, LagCurve], list[DataProblem]]:
    """Check the lag of each subject of a series."""
    if data.description.kind == "rows":
        return {}, []
    motion, lag_s = clip_motion(data.clips, data.frames), data.description.lag_s
    checks = {subject.name: check_subject_lag(subject, subject.voxels, motion, lag_s) for subject in data.subjects}
    return lag_findings(checks, "lag")


def _check_ids(clips: Sequence[SourceClip]) -> None:
    if not clips:
        raise DatasetError.of(DataProblem("clips", "there are none", "name the folder that holds them"))
    empty = [clip.clip_id for clip in clips if not clip.captions or not clip.captions[0].strip()]
    if empty:
        what = f"{len(empty)} clip(s) have no caption: {some(empty, most=5)}"
        raise DatasetError.of(DataProblem("captions", what, "every clip needs a text"))
    if len({clip.clip_id for clip in clips}) < len(clips):
        raise DatasetError.of(DataProblem("clips", "two have the same name", "give every clip a name of its own"))


def _write_subjects(
    source: DataSource, space: Workspace, progress: ReportProgress
) -> tuple[list[StoredSubject], list[DataProblem]]:
    """Write all subjects. Return those that were written, and errors and warnings about all."""
    totals, problems = _row_counts(source.subjects)
    total, stored = sum(totals.values()), []
    for subject in source.subjects:
        if subject.name not in totals:
            continue
        try:
            written = write_subject(subject, source, space, lambda rows: progress("fMRI", rows, total))
            stored.append(written)
            problems += subject.findings()
        except (DatasetError, OSError) as error:
            problems.append(_lost(subject, error))
    if not stored:
        DataReport(tuple(problems)).raise_for_errors()
        raise DatasetError.of(DataProblem("subjects", "there are none", "name the folder that holds their fMRI"))
    return stored, problems


def _row_counts(subjects: Sequence[SourceSubject]) -> tuple[dict[str, int], list[DataProblem]]:
    """Return the rows of each subject from headers alone, and which subjects cannot be opened."""
    rows, problems = {}, []
    for subject in subjects:
        try:
            recordings = subject.recordings()
            _check_drift(recordings)
            rows[subject.name] = sum(recording.rows for recording in recordings)
        except (DatasetError, OSError) as error:
            problems.append(_lost(subject, error))
    return rows, problems


def _check_drift(recordings: Sequence[RunRecording]) -> None:
    """Refuse runs of a series that are too short to remove drift, or whose TR is wrong."""
    for run in recordings:
        if run.tr > 0 and run.shown and run.excluded is None and not outlasts_drift(run.rows, run.tr):
            what = f"run {run.run_id!r} has {run.rows} volume(s) at a TR of {run.tr:g} s: too few to remove drift"
            raise DatasetError.of(DataProblem(run.file, what, "a TR is in seconds; exclude a run that is too short"))


def _lost(subject: SourceSubject, error: Exception) -> DataProblem:
    details = error.problems if isinstance(error, DatasetError) else ()
    text = "; ".join(f"{each.where}: {each.what}; {each.right}" for each in details) if details else str(error)
    return DataProblem(subject.name, "is left out", text)


def _split(
    clips: Sequence[SourceClip],
    stored: Sequence[StoredClip],
    subjects: Sequence[StoredSubject],
    options: ReaderOptions,
) -> SplitResult:
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


def _clip_rows(
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


def _described(
    source: DataSource, stored: Sequence[StoredClip], subjects: Sequence[StoredSubject], split_by: str
) -> Description:
    frames, height, width = stored[0].shape[:3]
    split_by = f"given ({source.split_rule})" if split_by == "given" and source.split_rule else split_by
    return Description(
        **{name: getattr(source.facts, name) for name in type(source.facts).model_fields},
        split_by=split_by,
        subjects=tuple(subject.name for subject in subjects),
        clips=ClipShape(count=len(stored), frames=frames, height=height, width=width),
    )


def _with_defects(
    description: Description, subjects: Sequence[StoredSubject], problems: Sequence[DataProblem]
) -> Description:
    """Add to the known defects what was left out."""
    lost = [f"{problem.where} {problem.what}: {problem.right}" for problem in problems if problem.fatal]
    runs = [f"{subject.name}, run {text}" for subject in subjects for text in subject.excluded]
    return description.model_copy(update={"defects": (*description.defects, *lost, *runs)})


def _publish(
    description: Description, problems: Sequence[DataProblem], space: Workspace, progress: ReportProgress
) -> Prepared:
    """Write digests and dataset.json, check everything that was written, and give the folder its name."""
    to_digest, to_check = bytes_to_read(space.folder)
    files = digest_files(space.folder, lambda count: progress("digests", count, to_digest))
    description = description.model_copy(update={"files": files, "digest": set_digest(files)})
    write_description(description, space.folder)
    verdict = validate(space.folder, lambda count: progress("checks", count, to_check), files=files)
    if verdict.report.errors:
        DataReport(
            (*problems, *verdict.report.problems)
        ).raise_for_errors()  # with the reasons for leaving subjects out
    write_card(PreparedSet(space.folder, description), _relocated((*problems, *verdict.report.problems), space, ""))
    space.publish()
    return Prepared(space.out, description, _relocated((*problems, *verdict.report.problems), space, f"{space.out}/"))


def _relocated(problems: Sequence[DataProblem], space: Workspace, prefix: str) -> DataReport:
    """Return the findings with `prefix` instead of the path of the hidden folder."""
    return DataReport(tuple(replace(each, where=each.where.replace(f"{space.folder}/", prefix)) for each in problems))


def summary(prepared: Prepared) -> Mapping[str, object]:
    """Return the facts about a written data set for `--json`."""
    about = prepared.description
    return {
        "folder": str(prepared.folder),
        "name": about.name,
        "kind": about.kind,
        "subjects": list(about.subjects),
        "clips": about.clips.model_dump(),
        "split_by": about.split_by,
        "digest": about.digest,
        "problems": [asdict(problem) for problem in prepared.report.problems],
    }
