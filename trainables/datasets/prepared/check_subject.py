"""Checks the fMRI of a prepared data set, subject by subject. Arrays are read once, in blocks."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, some
from trainables.datasets.prepared.check_clips import ClipFacts
from trainables.datasets.prepared.description import MESH_VERTICES, Description
from trainables.datasets.prepared.parts import Advance
from trainables.datasets.prepared.read import ArrayFile, PreparedSubject, array_file
from trainables.datasets.prepared.tables import EventRow, RunRow, VoxelTable

_ROWS = 256
_REGIONS = 20
"""Regions that a message about constant voxels lists."""


@dataclass
class ArrayFacts:
    """The results of one pass over an array."""

    bad: NDArray[np.int64]
    """Values that are NaN or infinite, per voxel."""
    first_bad: tuple[int, int] | None
    constant: NDArray[np.bool_]
    digests: list[str] = field(default_factory=list)
    """SHA-256 of the rows of each run, or of all."""
    twins: list[tuple[int, int]] = field(default_factory=list)
    """Rows with the values of an earlier row, which comes first; looked for only if the rows are of no run."""


def subject_problems(
    subject: PreparedSubject, about: Description, clips: ClipFacts, advance: Advance
) -> Iterator[DataProblem]:
    """Yield what is wrong with a subject. Raises `DatasetError` if a table or the array cannot be read."""
    values, voxels = subject.values, subject.voxels
    yield from _shape(values, voxels, subject.array)
    if values.ndim != 2 or values.dtype != np.float32:
        return
    if subject.kind == "series":
        yield from _runs(subject, about, len(values))
        yield from _events(subject, about, clips)
    else:
        yield from _rows(subject, clips, len(values))
    used = [run for run in subject.runs if run.excluded is None] if subject.kind == "series" else []
    runs = [run for run in used if run.first_row >= 0 and run.volumes >= 1]  # others have been reported by `_runs`
    if not values.flags.c_contiguous:
        return
    facts = scan_array(array_file(subject.array), [(run.first_row, run.volumes) for run in runs], advance)
    yield from _values(facts, voxels, subject.array)
    yield from _run_digests(facts, runs, subject)
    yield from _voxel_table(voxels, about, subject.folder / "voxels.parquet")


def _shape(values: NDArray[np.float32], voxels: VoxelTable, path: Path) -> Iterator[DataProblem]:
    if values.ndim != 2 or values.dtype != np.float32 or not values.flags.c_contiguous:
        order = "" if values.flags.c_contiguous else " in Fortran order"
        what = f"is {values.dtype} {list(values.shape)}{order}"
        yield DataProblem(str(path), what, "it must be float32 [rows, voxels] in C order")
    elif values.shape[1] != len(voxels):
        what = f"has {values.shape[1]} voxels, but voxels.parquet {len(voxels)} rows"
        yield DataProblem(str(path), what, "row v of the table must describe column v of the array")


def _runs(subject: PreparedSubject, about: Description, rows: int) -> Iterator[DataProblem]:
    path, runs = subject.folder / "runs.parquet", subject.runs
    twice = [name for name, count in Counter(run.run_id for run in runs).items() if count > 1]
    if twice:
        yield DataProblem(f"{path}, column run_id", f"occurs twice: {some(twice)}", "each run needs its own name")
    expected = 0
    for run in runs:
        volumes = run.volumes if run.excluded is None else 0
        if run.first_row != expected:
            what = f"run {run.run_id!r} begins in row {run.first_row}, but the runs before it end at {expected}"
            yield DataProblem(f"{path}, column first_row", what, "rows of runs must follow each other without a gap")
        expected = run.first_row + volumes
        if run.excluded is None and (run.volumes < 1 or run.tr <= 0):
            what = f"run {run.run_id!r} has {run.volumes} volumes of {run.tr:g} s"
            yield DataProblem(str(path), what, "give both, or fill in column excluded with the reason")
    if expected != rows:
        what = f"the runs have {expected} volumes, but bold.npy {rows} rows"
        yield DataProblem(f"{path}, column volumes", what, "each row must belong to one run")
    yield from _repetition_time(runs, about, path)
    for run in runs:
        if run.excluded is not None:
            yield DataProblem(str(path), f"run {run.run_id!r} is left out", run.excluded, fatal=False)


def _repetition_time(runs: Sequence[RunRow], about: Description, path: Path) -> Iterator[DataProblem]:
    times = sorted({run.tr for run in runs if run.excluded is None})
    if len(times) > 1:
        what = f"runs differ: {some(f'{time:g} s' for time in times)}"
        yield DataProblem(f"{path}, column tr", what, "the lag is rounded to volumes run by run", fatal=False)
    if about.tr is None or (times and abs(times[0] - about.tr) > 1e-3):
        seconds = f"{times[0]:g} s" if times else "unknown"
        right = "correct tr in dataset.json"
        yield DataProblem(f"{path}, column tr", f"is {seconds}, but dataset.json says {about.tr}", right)


def _events(subject: PreparedSubject, about: Description, clips: ClipFacts) -> Iterator[DataProblem]:
    path, events = subject.folder / "events.parquet", subject.events
    runs = {run.run_id: run for run in subject.runs}
    yield from _unknown([event.clip_id for event in events], clips, path)
    unknown = sorted({event.run_id for event in events if event.run_id not in runs})
    if unknown:
        what = f"names {len(unknown)} run(s) that runs.parquet does not have: {some(unknown)}"
        yield DataProblem(f"{path}, column run_id", what, "correct the name, or add the run")
    for event in events:
        run = runs.get(event.run_id)
        if run is not None and run.excluded is None:
            yield from _in_run(event, run, about.lag_s, path)
    without_events = [
        run.run_id for run in subject.runs if run.excluded is None and all(e.run_id != run.run_id for e in events)
    ]
    if without_events:
        yield DataProblem(str(path), f"no events in run(s) {some(without_events)}", "they are not used", fatal=False)
    yield from _durations(events, clips, path)
    used = [event for event in events if event.run_id in runs and runs[event.run_id].excluded is None]
    if used and all(_is_after_run(event, runs[event.run_id], about.lag_s) for event in used):
        what = f"every response, {about.lag_s:g} s after its clip, is after the run's end"
        yield DataProblem(str(path), what, "a lag is in seconds (4 to 5 is usual); prepare the data again")
    yield from _repeats([(event.clip_id, event.repeat) for event in events], path)
    yield from _never_shown({event.clip_id for event in used}, clips, path)


def _in_run(event: EventRow, run: RunRow, lag: float, path: Path) -> Iterator[DataProblem]:
    end = run.start_time_s + run.volumes * run.tr
    where = f"{path}, run {event.run_id!r}, clip {event.clip_id!r}"
    if event.onset_s < run.start_time_s or event.onset_s >= end:
        what = f"begins at {event.onset_s:g} s, but the run lasts from {run.start_time_s:g} to {end:g} s"
        yield DataProblem(where, what, "onsets are seconds on the clock of the run's start_time_s")
    elif _is_after_run(event, run, lag):
        what = f"begins at {event.onset_s:g} s, so its response {lag:g} s later is after the run's end at {end:g} s"
        yield DataProblem(where, what, "this presentation is not used", fatal=False)


def _is_after_run(event: EventRow, run: RunRow, lag: float) -> bool:
    return event.onset_s + lag >= run.start_time_s + run.volumes * run.tr


def _durations(events: Sequence[EventRow], clips: ClipFacts, path: Path) -> Iterator[DataProblem]:
    wrong = []
    for event in events:
        seconds = clips.seconds.get(event.clip_id)
        if seconds is not None and abs(event.duration_s - seconds) > 0.1 * seconds + 0.05:
            wrong.append(f"{event.clip_id} ({seconds:g} s, shown for {event.duration_s:g} s)")
    if wrong:
        what = f"{len(wrong)} event(s) do not last as long as their clip: {some(wrong)}"
        yield DataProblem(
            f"{path}, column duration_s", what, "check that clips were cut as they were shown", fatal=False
        )


def _rows(subject: PreparedSubject, clips: ClipFacts, count: int) -> Iterator[DataProblem]:
    path, rows = subject.folder / "rows.parquet", subject.rows
    if [row.row for row in rows] != list(range(count)):
        what = f"has {len(rows)} rows numbered {some(row.row for row in rows)}, but rows.npy holds {count}"
        yield DataProblem(f"{path}, column row", what, "it must be 0, 1, 2, ..., one for each row of the array")
    yield from _unknown([row.clip_id for row in rows], clips, path)
    yield from _repeats([(row.clip_id, row.repeat) for row in rows], path)
    yield from _never_shown({row.clip_id for row in rows}, clips, path)


def _unknown(names: Sequence[str], clips: ClipFacts, path: Path) -> Iterator[DataProblem]:
    unknown = sorted(set(names) - clips.split.keys())
    if unknown:
        what = f"names {len(unknown)} clip(s) that clips.parquet does not have: {some(unknown)}"
        yield DataProblem(f"{path}, column clip_id", what, "add the clips, or take out these presentations")


def _repeats(shown: Sequence[tuple[str, int]], path: Path) -> Iterator[DataProblem]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for clip, repeat in shown:
        numbers[clip].append(repeat)
    wrong = [clip for clip, repeats in numbers.items() if sorted(repeats) != list(range(len(repeats)))]
    if wrong:
        what = f"clip {wrong[0]!r} has the repeats {sorted(numbers[wrong[0]])}; {len(wrong)} such clip(s)"
        yield DataProblem(f"{path}, column repeat", what, "the presentations of a clip must be numbered 0, 1, 2, ...")


def _never_shown(shown: set[str], clips: ClipFacts, path: Path) -> Iterator[DataProblem]:
    absent = Counter(split for clip, split in clips.split.items() if clip not in shown and split != "excluded")
    if absent:
        counts = ", ".join(f"{count} {split}" for split, count in sorted(absent.items()))
        yield DataProblem(str(path), f"clips never shown to this subject: {counts}", "they are not used", fatal=False)


def scan_array(file: ArrayFile, runs: Sequence[tuple[int, int]], advance: Advance) -> ArrayFacts:
    """Read [rows, voxels] once. `runs` are first row and length; without any, all rows are one."""
    rows, voxels = file.shape
    seen: dict[bytes, int] = {}
    low, high = np.full(voxels, np.inf), np.full(voxels, -np.inf)
    facts = ArrayFacts(np.zeros(voxels, np.int64), None, np.zeros(voxels, np.bool_))
    for start, count in runs if runs else [(0, rows)]:
        digest = hashlib.sha256()
        end = min(start + count, rows)
        for row in range(start, end, _ROWS):
            block = file.rows(row, min(row + _ROWS, end))
            digest.update(block.data)
            if not runs:
                facts.twins += _twins(block, row, seen)
            finite = np.isfinite(block)
            if not finite.all():
                facts.bad += (~finite).sum(axis=0)
                if facts.first_bad is None:
                    first = np.argwhere(~finite)[0]
                    facts.first_bad = (row + int(first[0]), int(first[1]))
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
            advance(block.nbytes)
        facts.digests.append(digest.hexdigest())
    facts.constant = low == high
    return facts


def _twins(block: NDArray[np.float32], first: int, seen: dict[bytes, int]) -> Iterator[tuple[int, int]]:
    """Yield the rows of a block that were `seen` before, with the earlier row, and add the others to `seen`."""
    for number, values in enumerate(block, start=first):
        twin = seen.setdefault(hashlib.blake2b(values.data, digest_size=16).digest(), number)
        if twin != number:
            yield twin, number


def _values(facts: ArrayFacts, voxels: VoxelTable, path: Path) -> Iterator[DataProblem]:
    if facts.first_bad is not None:
        row, voxel = facts.first_bad
        what = (
            f"{int(facts.bad.sum())} value(s) of {int((facts.bad > 0).sum())} voxel(s) are NaN or infinite, the first "
        )
        what += f"in row {row}, voxel {voxel}"
        yield DataProblem(str(path), what, "remove these voxels from table and array, or the run")
    if facts.twins and not facts.constant.all():
        earlier, later = facts.twins[0]
        what = (
            f"rows {earlier} and {later} hold the same values; {len(facts.twins)} row(s) have those of an earlier one"
        )
        right = "a session, a repeat or a file was copied: get the right one, or keep one row for each measurement"
        yield DataProblem(str(path), what, right)
    if facts.constant.all():
        yield DataProblem(str(path), "every voxel is constant", "the file holds no measurement; prepare the data again")
    elif facts.constant.any() and len(voxels) == len(facts.constant):
        counts = Counter(str(name) if name else "no region" for name in voxels.roi[facts.constant])
        listed = some((f"{count} in {roi}" for roi, count in counts.most_common()), most=_REGIONS)
        what = f"{int(facts.constant.sum())} constant voxel(s): {listed}"
        yield DataProblem(str(path), what, "they carry no information and are left out", fatal=False)


def _run_digests(facts: ArrayFacts, runs: Sequence[RunRow], subject: PreparedSubject) -> Iterator[DataProblem]:
    first: dict[str, str] = {}
    for run, digest in zip(runs, facts.digests, strict=False):
        if run.sha256 != digest:
            what = f"run {run.run_id!r} has the SHA-256 {digest[:12]}..., but runs.parquet says {run.sha256[:12]}..."
            yield DataProblem(str(subject.array), what, "the file was changed or damaged: prepare the data again")
        twin = first.setdefault(digest, run.run_id)
        if twin != run.run_id:
            what = f"runs {twin!r} and {run.run_id!r} hold the same values"
            yield DataProblem(str(subject.array), what, "one file was copied: get the right one, or exclude one run")


def _voxel_table(voxels: VoxelTable, about: Description, path: Path) -> Iterator[DataProblem]:
    """Check structures, vertices and noise ceilings."""
    if voxels.structure is not None and voxels.vertex is not None:
        yield from _vertices(voxels, voxels.structure, voxels.vertex, about.space, path)
    for name in ("noise_ceiling_1", "noise_ceiling_n"):
        ceiling = getattr(voxels, name)
        if ceiling is not None and (np.nanmin(ceiling) < 0 or np.nanmax(ceiling) > 100):
            what = f"runs from {np.nanmin(ceiling):.3g} to {np.nanmax(ceiling):.3g}"
            yield DataProblem(f"{path}, column {name}", what, "it is a percentage of variance, 0 to 100")
    if not any(voxels.roi != ""):
        right = "results by region are not available"
        yield DataProblem(f"{path}, column roi", "no voxel has a region", right, fatal=False)


def _vertices(
    voxels: VoxelTable, structure: NDArray[np.str_], vertex: NDArray[np.int32], space: str, path: Path
) -> Iterator[DataProblem]:
    counts = Counter(zip(structure[vertex >= 0].tolist(), vertex[vertex >= 0].tolist(), strict=True))
    twice = [f"{name} {number}" for (name, number), count in counts.items() if count > 1]
    if twice:
        yield DataProblem(f"{path}, column vertex", f"occurs twice: {some(twice)}", "no two voxels share a vertex")
    cortex = [name for name in dict.fromkeys(structure.tolist()) if "CORTEX" in name]
    if cortex and "RIGHT" in cortex[0] and any("LEFT" in name for name in cortex):
        what, right = "the right hemisphere comes first", "compare the structures with the file's own before using maps"
        yield DataProblem(f"{path}, column structure", what, right, fatal=False)
    size = MESH_VERTICES.get(space)
    if size is not None and vertex.max() >= size:
        what = f"vertex {vertex.max()} does not exist in space {space}, which has {size} vertices per hemisphere"
        yield DataProblem(f"{path}, column vertex", what, "correct space in dataset.json, or use the file of that mesh")


def twin_problems(subjects: Sequence[PreparedSubject], digests: Mapping[str, str]) -> Iterator[DataProblem]:
    """Yield subjects, and runs of different subjects, with the same values, as happens when files are copied.

    `digests` are the digests of the subjects' arrays, by name.
    """
    first: dict[str, str] = {}
    for subject in subjects:
        parts = {digests[subject.name]: subject.name} if subject.name in digests else {}
        if subject.kind == "series":
            parts |= {run.sha256: f"{subject.name} {run.run_id}" for run in subject.runs if run.excluded is None}
        for digest, name in parts.items():
            twin = first.setdefault(digest, name)
            if twin.split()[0] != subject.name:
                right = "every subject needs data of its own: get the right files"
                yield DataProblem(str(subject.folder), f"{twin} and {name} hold the same values", right)
