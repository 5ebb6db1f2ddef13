"""Data sets of kind `prepared`: tables are read, clips and fMRI memory-mapped where they lie.

Planning reads dataset.json, the tables and the stored verdict. Pixels and fMRI are read only if files have changed
since the last check, and are never downloaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import PreparedConfig
from trainables.datasets.base import BrainData, Stimuli, Subject
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, DataVerdict
from trainables.datasets.prepared.clusters import prepared_clusters
from trainables.datasets.prepared.description import DESCRIPTION_FILE, read_description
from trainables.datasets.prepared.digest import (
    CARDS,
    captions_digest,
    clips_digest,
    content_files,
    digest_files,
    folder_state,
)
from trainables.datasets.prepared.read import PreparedSet, PreparedSubject, array_file, open_prepared
from trainables.datasets.prepared.stored_set import local_folder, local_tables, missing_files
from trainables.datasets.prepared.tables import VoxelTable
from trainables.datasets.prepared.validate import check_tables, checked_before, lag_problems, validate
from trainables.datasets.resplit import resplit

NO_REGION = "no region"
"""The ROI of voxels without one."""


def clips_fingerprint(config: PreparedConfig) -> dict[str, object]:
    """Return digests of the clips' pixels, and of their names and captions, from the table of clips alone."""
    folder, _ = local_tables(config.path)
    clips, captions = _clip_digests(folder, _state(folder))
    return {"clips": clips, "captions": captions}


def brains_fingerprint(config: PreparedConfig) -> dict[str, object]:
    """Return the digests of the subjects' files, the split, and the alignment of fMRI with clips."""
    folder, _ = local_tables(config.path)
    return dict(_brain_digests(folder, _state(folder)))


def clips_files(config: PreparedConfig) -> list[Path]:
    """Return the table of clips and the files of their frames."""
    folder = local_folder(config.path)
    return [folder / name for name in _contents(folder) if name.startswith("clips")]


def brains_files(config: PreparedConfig) -> list[Path]:
    """Return the files of the subjects, the table of clips, which holds the split, and the description."""
    folder = local_folder(config.path)
    names = [name for name in _contents(folder) if not name.startswith("clips/")]
    return [folder / name for name in (DESCRIPTION_FILE, *names)]


def card_files(config: PreparedConfig) -> list[Path]:
    """Return the card in Markdown and HTML, as far as it is there. Raises `DatasetError` if a store is out of reach."""
    folder, _ = local_tables(config.path)
    return [folder / name for name in CARDS if (folder / name).is_file()]


def _contents(folder: Path) -> list[str]:
    return content_files(folder) if folder.is_dir() else []


def shows_images(config: PreparedConfig) -> bool:
    """Return whether each clip is one image, repeated. A data set that cannot be read is reported elsewhere."""
    try:
        folder, _ = local_tables(config.path)
        return read_description(folder).still
    except DatasetError:
        return False


def check(config: PreparedConfig) -> DataVerdict:
    """Return the verdict on the data set.

    Everything is read only if a file has changed since the data set was prepared or checked. Of a data set in a store,
    description, tables and the list of files are checked; its arrays when they have been downloaded, by `load_brains`.
    """
    try:
        folder, has_arrays = local_tables(config.path)
        verdict = _checked(folder) if has_arrays else _checked_in_store(folder, config.path)
    except DatasetError as error:
        return DataVerdict(DataReport(error.problems))
    report = verdict.report
    if not report.errors:
        report = DataReport((*report.problems, *_unseen_splits(open_prepared(folder))))
    return replace(verdict, report=_located(report, folder, config.path))


def _checked_in_store(folder: Path, uri: str) -> DataVerdict:
    """Return what description, tables and the store's listing show."""
    verdict = check_tables(folder)
    missing = missing_files(uri, open_prepared(folder).description)
    return replace(verdict, report=DataReport((*verdict.report.problems, *missing)))


def _located(report: DataReport, folder: Path, path: str) -> DataReport:
    """Return the findings with the location that the user gave instead of that of a copy."""
    return DataReport(tuple(replace(each, where=each.where.replace(str(folder), path)) for each in report.problems))


def _checked(folder: Path) -> DataVerdict:
    try:
        verdict = checked_before(folder)
        return verdict if verdict is not None else validate(folder)
    except DatasetError as error:
        return DataVerdict(DataReport(error.problems))


def _unseen_splits(data: PreparedSet) -> Iterator[DataProblem]:
    """Yield an error for each split without fMRI of any subject. Such a data set is valid, but no study can use it."""
    split = {clip.clip_id: clip.split for clip in data.clips}
    seen = {split.get(clip) for subject in data.subjects for clip in subject.shown()}
    for name in ("train", "validation", "test"):
        if name not in seen:
            what = f"no {name} clip was shown to any subject"
            right = "training, validation and test need clips with fMRI: prepare the data with another split"
            yield DataProblem(f"{data.folder}/clips.parquet, column split", what, right)


def load_clips(config: PreparedConfig) -> Stimuli:
    """Open clips and captions; the clips are memory-mapped. Raises `DatasetError`."""
    data = open_prepared(local_folder(config.path))
    # The text for evaluation comes first.
    captions = [(clip.caption, *(text for text in clip.captions if text != clip.caption)) for clip in data.clips]
    return Stimuli(
        data.frames,
        captions,
        [clip.clip_id for clip in data.clips],
        digests=[clip.sha256 for clip in data.clips],
        prepared=clips_digest(data.clips),
    )


def load_brains(config: PreparedConfig, stimuli: Stimuli) -> BrainData:
    """Open the fMRI, memory-mapped, and pair it with the clips.

    Raises:
        DatasetError: Something is wrong. Files that changed since the last check are checked again, since their
            recorded digests may not be true any more.
    """
    folder = local_folder(config.path)
    _checked(folder).report.raise_for_errors()
    data = open_prepared(folder)
    about, row = data.description, {clip.clip_id: index for index, clip in enumerate(data.clips)}
    subjects = [_subject(subject, row) for subject in data.subjects]
    block = [clip.block for clip in data.clips]
    return BrainData(
        kind=about.kind,
        subjects=subjects,
        split=resplit([clip.split for clip in data.clips], block, seed=config.resplit),
        block=block,
        cluster=prepared_clusters(data),
        lag_tr=about.lag_volumes,
        tr=about.tr if about.tr is not None else 1.0,
        roi_names=[*dict.fromkeys(name for subject in subjects for name in subject.voxels.roi.tolist())],
        warnings=[*map(str, lag_problems(about, data.folder)), *about.defects],
        space=about.space,
    )


def _state(folder: Path) -> str:
    return (
        folder_state(folder) if (folder / DESCRIPTION_FILE).is_file() else ""
    )  # a folder that is no data set may be huge


@lru_cache(maxsize=64)
def _clip_digests(folder: Path, state: str) -> tuple[str, str]:
    try:
        clips = open_prepared(folder).clips
    except DatasetError:
        return "missing", "missing"  # `check` reports what is wrong
    return clips_digest(clips), captions_digest(clips)


@lru_cache(maxsize=64)
def _brain_digests(folder: Path, state: str) -> Mapping[str, object]:
    try:
        data = open_prepared(folder)
        split = [[clip.split, clip.block] for clip in data.clips]
    except DatasetError:
        return {"brains": "missing"}
    about = data.description
    facts = about.files if about.files else digest_files(folder)
    own = tuple(f"{name}/" for name in about.subjects)
    files = {name: file.sha256 for name, file in sorted(facts.items()) if name.startswith(own)}
    return {
        "subjects": list(about.subjects),
        "files": files,
        "split": split,
        "kind": about.kind,
        "tr": about.tr,
        "lag_s": about.lag_s,
    }


def _subject(subject: PreparedSubject, row: Mapping[str, int]) -> Subject:
    series = subject.kind == "series"
    return Subject(
        name=subject.name,
        bold=array_file(subject.array),
        onsets=_event_volumes(subject, row) if series else _presentation_rows(subject, row),
        runs=_run_starts(subject) if series else None,
        voxels=_named(subject.voxels),
    )


def _named(voxels: VoxelTable) -> VoxelTable:
    return replace(voxels, roi=np.where(voxels.roi == "", NO_REGION, voxels.roi))


def _run_starts(subject: PreparedSubject) -> NDArray[np.int64]:
    return np.array([run.first_row for run in subject.runs if run.excluded is None], np.int64)


def _event_volumes(subject: PreparedSubject, row: Mapping[str, int]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Return the volume at each presentation [N, repeats], a fraction if it begins between two; -1 for none."""
    runs = {run.run_id: run for run in subject.runs if run.excluded is None}
    events = [event for event in subject.events if event.run_id in runs]
    volumes = [
        runs[event.run_id].first_row + (event.onset_s - runs[event.run_id].start_time_s) / runs[event.run_id].tr
        for event in events
    ]
    onsets = _by_clip([row[event.clip_id] for event in events], volumes, len(row))
    whole = np.rint(onsets)
    return whole.astype(np.int64) if np.abs(onsets - whole).max() < 1e-6 else onsets


def _presentation_rows(subject: PreparedSubject, row: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the row of the response to each presentation [N, repeats]; -1 for none."""
    shown = [row[presentation.clip_id] for presentation in subject.rows]
    return _by_clip(shown, [float(presentation.row) for presentation in subject.rows], len(row)).astype(np.int64)


def _by_clip(clips: list[int], positions: list[float], count: int) -> NDArray[np.float64]:
    """Return the positions of each clip's presentations, in order, [count, repeats]; -1 where there are fewer."""
    of_clip: list[list[float]] = [[] for _ in range(count)]
    for clip, position in zip(clips, positions, strict=True):
        of_clip[clip].append(position)
    table = np.full((count, max(1, *map(len, of_clip)) if of_clip else 1), -1.0)
    for index, presentations in enumerate(of_clip):
        table[index, : len(presentations)] = presentations
    return table
