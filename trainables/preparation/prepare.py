"""Writes an opened source as a prepared data set: parts first, then tables, checks and digests; the rename comes last.

An error in the clips stops everything, since all subjects share them. A subject with an error is left out, and the
data set records why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from storage.names import nearest
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some, texts_of
from trainables.datasets.prepared.clip_shards import StoredClip, write_clips
from trainables.datasets.prepared.description import ClipShape, Description, LagCurve, write_description
from trainables.datasets.prepared.digest import digest_files, set_digest
from trainables.datasets.prepared.parts import RunParts, parts_here
from trainables.datasets.prepared.read import PreparedSet, PreparedSubject, open_prepared
from trainables.datasets.prepared.source import DataSource, RunRecording, SourceClip, SourceSubject
from trainables.datasets.prepared.tables import ClipRow, write_rows, write_voxels
from trainables.datasets.prepared.validate import bytes_to_read, validate
from trainables.datasets.prepared.workspace import Workspace, open_workspace
from trainables.datasets.prepared.write import StoredSubject, write_subject
from trainables.preparation.card import write_card
from trainables.preparation.clip_table import clip_rows, split_stored
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


@dataclass(frozen=True)
class Making:
    """How a data set is made; nothing of it changes what is made."""

    progress: ReportProgress = no_progress
    run_parts: RunParts = parts_here
    """Makes shards of clips, recordings and digests of files: here, or on Ray."""


def prepare(source: DataSource, options: ReaderOptions, out: Path, *, making: Making | None = None) -> Prepared:
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
            return _prepare(about, options, space, making if making is not None else Making())
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
        right = nearest(unknown[0], names)
        raise DatasetError.of(DataProblem("--subject", f"there is no {', '.join(unknown)}", right))
    chosen = [subject for subject in source.subjects if not options.subjects or subject.name in options.subjects]
    return replace(source, facts=source.facts.model_copy(update=given), subjects=chosen)


@dataclass(frozen=True)
class _Contents:
    """What has been written: clips, and the subjects that can be used so far."""

    source: DataSource
    clips: Sequence[SourceClip]
    stored: Sequence[StoredClip]
    subjects: Sequence[StoredSubject]
    problems: Sequence[DataProblem]
    """What was noticed, and why subjects are left out."""

    def without(self, lost: Mapping[str, Sequence[DataProblem]]) -> "_Contents":
        """Leave out the subjects `lost`, with the reasons."""
        reasons = [_left_out(name, texts_of(problems)) for name, problems in lost.items()]
        kept = [subject for subject in self.subjects if subject.name not in lost]
        return replace(self, subjects=kept, problems=(*self.problems, *reasons))


def _prepare(source: DataSource, options: ReaderOptions, space: Workspace, making: Making) -> Prepared:
    clips = [*source.clips()]
    _check_ids(clips)
    stored = write_clips(clips, space, lambda count: making.progress("clips", count, len(clips)), making.run_parts)
    subjects, noticed = _write_subjects(source, space, making)
    contents = _Contents(source, clips, stored, subjects, (*source.warnings, *noticed))
    while True:
        description, problems = _write_tables(contents, options, space)
        verdict = _checked(description, space, making)
        lost = _lost_subjects(verdict.errors, contents.subjects, space)
        if not lost:
            return _publish(DataReport((*problems, *verdict.problems)), space)
        for name in lost:
            space.discard(name)
        contents = contents.without(lost)  # the split depends on who saw what
        if not contents.subjects:
            DataReport(tuple(contents.problems)).raise_for_errors()


def _write_tables(
    contents: _Contents, options: ReaderOptions, space: Workspace
) -> tuple[Description, tuple[DataProblem, ...]]:
    """Split the clips, and write the tables of clips and voxels. Return the description and what was noticed so far."""
    source, clips, stored, subjects = contents.source, contents.clips, contents.stored, contents.subjects
    split = split_stored(clips, stored, subjects, options)
    rows, excluded = clip_rows(clips, stored, split, options)
    write_rows(rows, ClipRow, space.folder / "clips.parquet")
    description = _described(source, stored, subjects, split.by)
    data = PreparedSet(space.folder, description)
    for subject, written in zip(subjects, data.subjects, strict=True):
        _write_voxels(subject, written, rows, source.facts.lag_s)
    curves, of_lag = _lag_curves(data)
    description = description.model_copy(update={"lag_curve": curves})
    problems = (*contents.problems, *split.warnings, *excluded, *of_lag)
    return _with_defects(description, subjects, problems), problems


def _lost_subjects(
    errors: Sequence[DataProblem], subjects: Sequence[StoredSubject], space: Workspace
) -> dict[str, list[DataProblem]]:
    """Return the errors in the files of single subjects, by subject.

    Raises:
        DatasetError: There are others, which all subjects share.
    """
    lost: dict[str, list[DataProblem]] = {}
    for problem in _relocated(errors, space, "").problems:
        owner = problem.where.partition("/")[0]
        if owner not in {subject.name for subject in subjects} or owner == problem.where:
            _relocated(errors, space, "").raise_for_errors()
        lost.setdefault(owner, []).append(problem)
    return lost


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
    source: DataSource, space: Workspace, making: Making
) -> tuple[list[StoredSubject], list[DataProblem]]:
    """Write all subjects. Return those that were written, and errors and warnings about all."""
    totals, problems = _row_counts(source.subjects)
    total, stored = sum(totals.values()), []
    for subject in source.subjects:
        if subject.name not in totals:
            continue
        try:
            written = write_subject(
                subject, source, space, lambda rows: making.progress("fMRI", rows, total), making.run_parts
            )
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
    return _left_out(subject.name, texts_of(details) if details else [str(error)])


def _left_out(subject: str, reasons: Sequence[str]) -> DataProblem:
    return DataProblem(subject, "is left out", "; ".join(reasons))


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


def _checked(description: Description, space: Workspace, making: Making) -> DataReport:
    """Write digests and dataset.json, and check everything that was written."""
    to_digest, to_check = bytes_to_read(space.folder)
    files = digest_files(
        space.folder, lambda count: making.progress("digests", count, to_digest), run_parts=making.run_parts
    )
    write_description(description.model_copy(update={"files": files, "digest": set_digest(files)}), space.folder)
    return validate(space.folder, lambda count: making.progress("checks", count, to_check), files=files).report


def _publish(report: DataReport, space: Workspace) -> Prepared:
    """Write the card, and give the folder its name."""
    data = open_prepared(space.folder)
    write_card(data, _relocated(report.problems, space, ""))
    space.publish()
    return Prepared(space.out, data.description, _relocated(report.problems, space, f"{space.out}/"))


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
