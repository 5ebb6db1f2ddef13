"""`python -m platform.prepare series FOLDER`: a lab's own arrays of BOLD over time, with the onsets of clips."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from trainables.config.base import NonNegative, Positive
from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.source import DataSource, RunRecording, ShownClip, SourceSubject
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
from trainables.preparation.lab_tables import (
    ARRAY_SUFFIXES,
    TABLE_SUFFIXES,
    numbers,
    one_file,
    open_array,
    read_table,
    texts,
)

_TABLES = ("voxels", "events", "runs")


class Settings(LabOptions):
    """Settings of this reader."""

    tr: Positive
    """seconds from volume to volume (TR)"""
    lag: NonNegative = 4.0
    """seconds from a clip's onset to its response; 4 to 5 s is usual, 0 if the BOLD is shifted already"""
    start_time: float = 0.0
    """time of a run's first volume in seconds, on the clock of the onsets"""


def open_source(options: Settings) -> DataSource:
    """Open the folder: clips, captions and tables. Raises `DatasetError`."""
    clips = open_clips(options)
    subjects = [
        SourceSubject(folder.name, partial(_voxels, folder, options), partial(_recordings, folder, clips, options))
        for folder in subject_folders(options)
    ]
    facts = lab_facts(options, name="series", kind="series", lag_s=options.lag, tr=options.tr)
    return DataSource(facts, clips.clips, subjects, root=options.folder)


def _run_files(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix in ARRAY_SUFFIXES and path.stem not in _TABLES]
    return sorted(found, key=lambda path: natural(path.name))


def _voxels(folder: Path, options: Settings) -> VoxelTable:
    counts = {path.name: open_array(path, key=options.key).shape[1] for path in _run_files(folder)}
    if len(set(counts.values())) > 1:
        what = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise DatasetError.of(DataProblem(str(folder), f"voxels differ: {what}", "all runs need the same voxels"))
    return lab_voxels(folder, next(iter(counts.values())))


def _recordings(folder: Path, clips: LabClips, options: Settings) -> list[RunRecording]:
    files = _run_files(folder)
    events, details = _events(folder, clips.names, {path.stem for path in files}), _details(folder)
    recordings = []
    for path in files:
        array, detail = open_array(path, key=options.key), details.get(path.stem, {})
        recordings.append(
            RunRecording(
                run_id=path.stem,
                file=str(path),
                rows=array.shape[0],
                shown=events[path.stem],
                blocks=array.blocks,
                session=detail.get("session", ""),
                task=detail.get("task", ""),
                tr=options.tr,
                start_time_s=options.start_time,
                excluded=detail.get("excluded") or None,
            )
        )
    return recordings


def _events(folder: Path, names: list[str], runs: set[str]) -> dict[str, list[ShownClip]]:
    """Return the presentations of each run."""
    path = one_file(folder, "events", TABLE_SUFFIXES)
    if path is None:
        right = "it must have the columns run_id, onset_s, duration_s and clip_id"
        raise DatasetError.of(DataProblem(str(folder), "has no table events.csv", right))
    columns = read_table(path, needed=["run_id", "onset_s", "duration_s", "clip_id"])
    keys, of_run = texts(columns["clip_id"]), texts(columns["run_id"])
    problems = unknown_clips(keys, names, path, rows="events")
    if unknown := sorted(set(of_run) - runs):
        what = f"names {some(unknown, most=5)}, but the files are {some(sorted(runs), most=5)}"
        problems.append(DataProblem(f"{path}, column run_id", what, "it is the name of the run's file, no suffix"))
    DataReport(tuple(problems)).raise_for_errors()
    onsets = numbers(columns["onset_s"], f"{path}, column onset_s")
    durations = numbers(columns["duration_s"], f"{path}, column duration_s")
    events: dict[str, list[ShownClip]] = defaultdict(list)
    for run, onset, duration, name in zip(of_run, onsets, durations, find_clips(keys, names), strict=True):
        if name is not None:
            events[run].append(ShownClip(name, onset, duration))
    return events


def _details(folder: Path) -> dict[str, dict[str, Any]]:
    """Return session, task and excluded of each run from runs.csv, if there is one."""
    path = one_file(folder, "runs", TABLE_SUFFIXES)
    if path is None:
        return {}
    columns = read_table(path, needed=["run_id"])
    runs = texts(columns["run_id"])
    return {run: {name: texts(values)[row] for name, values in columns.items()} for row, run in enumerate(runs)}
