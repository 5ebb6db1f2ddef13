"""Clips, captions and fMRI that a user brings in a folder. Everything that is wrong is reported at once."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import FolderConfig
from trainables.datasets.base import Dataset, Stimuli, Subject
from trainables.datasets.captions import read_captions
from trainables.datasets.clips import ClipError, Frames, files, is_clip, natural, read_clip
from trainables.datasets.errors import DataProblem, DataReport
from trainables.datasets.fmri import read_fmri
from trainables.datasets.phantom import GENERATOR
from trainables.datasets.phantom.bold import TR
from trainables.datasets.phantom.schedule import schedule
from trainables.datasets.phantom.world import watched
from trainables.datasets.splits import duplicates, split_blocks

RUN_CLIPS, REPEATS, REST_TR = 20, 2, 3
"""How simulated brains watch: as in the phantom's defaults."""
_DECODER = 2
"""Raised when the same files decode to other frames: since 2, frames that a GIF's writer merged are restored."""


def fingerprint(config: FolderConfig) -> dict[str, object]:
    """Return the SHA-256 digests of what the folder holds, so that identity follows content, wherever it lies.

    With `simulate` also the version of the phantom's brains.
    """
    sources = [[_digest(file) for file in files(clip)] for clip in _sources(config)]
    fmri = {} if config.simulate else {"fmri": _digest(config.path / config.fmri)}
    simulated = {"generator": GENERATOR} if config.simulate else {}
    captions = _digest(config.path / config.captions)
    return {"clips": sources, "captions": captions, "decoder": _DECODER, **fmri, **simulated}


def check(config: FolderConfig) -> tuple[DataReport, int]:
    """Read everything and tell what is wrong, and how many subjects there are (0 if unknown). Nothing is written."""
    read, report = _read(config)
    if read is None:
        return report, 0
    return report, 1 if read[1] is None else len(read[1])


def load(config: FolderConfig) -> Dataset:
    """Read the data set. Raises `DatasetError`, which lists all that is wrong."""
    read, report = _read(config)
    report.raise_for_errors()
    assert read is not None  # there would have been an error
    stimuli, fmri = read
    return _simulated(stimuli, config) if fmri is None else _recorded(stimuli, fmri)


def _read(config: FolderConfig) -> tuple[tuple[Stimuli, NDArray[np.float32] | None] | None, DataReport]:
    sources = _sources(config)
    if not sources:
        right = "it must hold GIF or MP4 clips or folders of PNG, in itself or in its sub-folder 'clips'"
        what = "there are no clips" if config.path.is_dir() else "there is no such folder"
        return None, DataReport((DataProblem(str(config.path), what, right),))
    names = [source.name for source in sources]
    clips, problems = _clips(sources, config)
    problems += _ignored(sources, config)
    captions, of_captions = read_captions(config.path / config.captions, names)
    fmri, of_fmri = (None, []) if config.simulate else read_fmri(config.path / config.fmri, clips=len(names))
    split, block, of_split = split_blocks(len(names), config)
    of_twins = duplicates(clips, names, split) if split else []
    report = DataReport((*problems, *of_captions, *of_fmri, *of_split, *of_twins))
    if report.errors:
        return None, report
    pixels = np.stack([clip for clip in clips if clip is not None])
    return (Stimuli(pixels, captions, names, split, block, tuple(map(str, report.warnings))), fmri), report


def _clips(sources: Sequence[Path], config: FolderConfig) -> tuple[list[Frames | None], list[DataProblem]]:
    """Read all clips, None for those that cannot be read."""
    clips: list[Frames | None] = []
    problems = []
    for source in sources:
        try:
            clips.append(read_clip(source, frames=config.frames, resolution=config.resolution, crop=config.crop))
        except ClipError as error:
            clips.append(None)
            problems.append(
                DataProblem(str(source), str(error), "replace or remove the clip, its caption and its fMRI row")
            )
    return clips, problems


def _recorded(stimuli: Stimuli, fmri: NDArray[np.float32]) -> Dataset:
    """Pair clips with fMRI that has one row for each, [subjects, clips, voxels]."""
    roi = np.zeros(fmri.shape[2], np.int16)
    names = [f"subject{index}" for index in range(len(fmri))]
    return Dataset(
        stimuli=stimuli,
        onsets=np.arange(fmri.shape[1])[:, None],
        runs=None,
        lag_tr=0,
        tr=TR,
        roi_names=("all",),
        subjects=[Subject(name, rows, roi) for name, rows in zip(names, fmri, strict=True)],
    )


def _simulated(stimuli: Stimuli, config: FolderConfig) -> Dataset:
    """Let one of the phantom's brains watch the clips."""
    run_clips = max(RUN_CLIPS, config.block_clips)
    plan = schedule(stimuli.split, run_clips=run_clips, rest_tr=REST_TR, repeats=REPEATS)
    return watched(stimuli, plan, names=["simulated"], config=config)


def _sources(config: FolderConfig) -> list[Path]:
    """Return the paths of the clips, in natural order of their names."""
    folder = config.path / "clips" if (config.path / "clips").is_dir() else config.path
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and is_clip(path)]
    return sorted(found, key=lambda path: natural(path.name))


def _ignored(sources: Sequence[Path], config: FolderConfig) -> list[DataProblem]:
    """Report what lies in `clips` and is no clip; beside the clips themselves anything may lie."""
    folder = config.path / "clips"
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    right = "it is ignored; clips are GIF, MP4 or folders of PNG"
    return [DataProblem(str(path), "is no clip", right, fatal=False) for path in found if path not in sources]


def _digest(path: Path) -> str:
    """Return a file's SHA-256, or "missing": what is wrong with it is for `check` to tell."""
    if not path.is_file():
        return "missing"
    status = path.stat()
    return _cached_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _cached_digest(path: Path, size: int, modified: int) -> str:
    """Digest once per version of a file: a plan asks for it in every trial."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
