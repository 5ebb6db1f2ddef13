"""The interface between readers of lab data and the writer of prepared data sets.

A reader opens headers and tables only, and describes the data set with these classes. The writer then reads pixels and
fMRI clip by clip and block by block, so that nothing is in memory as a whole. Digests, shards, repeats, splits,
duplicates, noise ceilings, checks, the card and resuming after a kill are done once for all readers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clips import Frames
from trainables.datasets.errors import DataProblem
from trainables.datasets.prepared.description import SetFacts
from trainables.datasets.prepared.tables import Split, VoxelTable


@dataclass(frozen=True)
class SourceClip:
    """One clip, not yet decoded."""

    clip_id: str
    read: Callable[[], Frames]
    """Decodes it: uint8 [F, H, W, 3], the same shape for all clips of the data set. Raises `ClipError`."""
    captions: tuple[str, ...]
    """At least one; the first is the text for evaluation."""
    file: str = ""
    """Its file, for messages."""
    source: str = ""
    """Film or segment that it was cut from; clips of one source are neighbours in time. "" if unknown."""
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    """Frames per second of what `read` returns."""
    split: Split | None = None
    """The data set's own split; None for all clips if it has none."""
    block: int | None = None
    """Clips of one block are always in one split. None: the writer forms blocks."""
    note: str = ""


@dataclass(frozen=True)
class DataBlock:
    """Some rows and voxels of a recording: `values[i, j]` is row `first_row + i`, voxel `first_voxel + j`."""

    values: NDArray[np.float32]
    first_row: int = 0
    """Counted from the recording's own first row."""
    first_voxel: int = 0


@dataclass(frozen=True)
class ShownClip:
    """One presentation of a clip. Repeats are counted by the writer, in the order of the recordings."""

    clip_id: str
    onset_s: float = 0.0
    """Series only: on the clock of the run's `start_time_s`."""
    duration_s: float = 0.0
    session: str = ""
    """Rows only."""
    run_id: str = ""
    """Rows only."""


@dataclass(frozen=True)
class RunRecording:
    """One scanner run of a series, or one file of rows: the unit in which fMRI is written and resumed."""

    run_id: str
    """Unique within the subject."""
    file: str
    rows: int
    """Volumes of the run, or rows of the file. Row i is the response to `shown[i]`."""
    shown: Sequence[ShownClip]
    blocks: Callable[[], Iterator[DataBlock]]
    """Yields blocks of any shape and order that together cover all rows and voxels, in float32, without NaN."""
    session: str = ""
    task: str = ""
    tr: float = 0.0
    """Seconds from volume to volume; 0 for rows."""
    start_time_s: float = 0.0
    """Time of the first volume, on the clock of the events."""
    excluded: str | None = None
    """The reason for leaving it out, if any; then `blocks` is not called."""
    further_files: tuple[str, ...] = ()
    """Further files with its values. If one changes, the recording is read again."""


@dataclass(frozen=True)
class SourceSubject:
    """One brain."""

    name: str
    """Such as sub-01; the name of its folder."""
    voxels: Callable[[], VoxelTable]
    """Returns the voxel table; raises `DatasetError` or `OSError` if the subject cannot be used."""
    recordings: Callable[[], Sequence[RunRecording]]
    """Returns all recordings from their headers, in natural order; raises as `voxels` does."""
    findings: Callable[[], Sequence[DataProblem]] = tuple
    """Returns warnings about its files; called after they have been read."""


@dataclass(frozen=True)
class DataSource:
    """An opened data set of any origin."""

    facts: SetFacts
    """Name, kind, licence and preprocessing."""
    clips: Callable[[], Iterator[SourceClip]]
    """Yields all clips in natural order, the same each time it is called."""
    subjects: Sequence[SourceSubject]
    """All subjects. Errors of one are raised by its own functions; the others are still written."""
    warnings: Sequence[DataProblem] = ()
    """Warnings from opening."""
    root: Path | None = None
    """Paths of recordings are noted relative to it, so that the content does not depend on where the source lies."""
    split_rule: str = ""
    """The rule of the data set's own split, for the card."""
