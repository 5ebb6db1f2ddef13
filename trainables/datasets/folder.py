"""Clips, captions and fMRI that a user brings in a folder. Everything that is wrong is reported at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import FolderConfig
from trainables.datasets.base import BrainData, Stimuli, Subject
from trainables.datasets.captions import read_captions
from trainables.datasets.clips import Frames, clips_in, files, read_clip
from trainables.datasets.errors import ClipError, DataProblem, DataReport
from trainables.datasets.fmri import read_fmri
from trainables.datasets.phantom import GENERATOR
from trainables.datasets.phantom.bold import TR
from trainables.datasets.phantom.schedule import schedule
from trainables.datasets.phantom.world import watched
from trainables.datasets.prepared.tables import VoxelTable
from trainables.datasets.splits import duplicates, split_blocks

RUN_CLIPS, REPEATS, REST_TR = 20, 2, 3
"""How simulated brains watch: as in the phantom's defaults."""
_EVERYWHERE = "all"
"""The only ROI of fMRI without a table of voxels."""
_DECODER = 3
"""Raised when the same files decode to other frames. Since 2, frames that a GIF's writer merged are restored; since 3,
frames follow their own times and display matrix, and 16-bit grey is scaled."""


def clips_fingerprint(config: FolderConfig) -> dict[str, object]:
    """Return the SHA-256 digests of clips and captions: identity follows content, wherever the folder lies."""
    sources = [[_digest(file) for file in files(clip)] for clip in _sources(config)]
    return {"clips": sources, "captions": _digest(config.path / config.captions), "decoder": _DECODER}


def brains_fingerprint(config: FolderConfig) -> dict[str, object]:
    """Return the SHA-256 digest of the fMRI, or with `simulate` the version of the phantom's brains."""
    return {"generator": GENERATOR} if config.simulate else {"fmri": _digest(config.path / config.fmri)}


def check(config: FolderConfig) -> tuple[DataReport, int]:
    """Read everything and tell what is wrong, and how many subjects there are (0 if unknown). Nothing is written."""
    clips = _read_clips(config)
    if not clips.names:
        return clips.report, 0
    brains = _read_brains(config, clips.names, clips.frames)
    report = DataReport((*clips.problems, *brains.problems))
    return report, 0 if report.errors else 1 if brains.fmri is None else len(brains.fmri)


def load_clips(config: FolderConfig) -> Stimuli:
    """Decode the clips and read their captions. Raises `DatasetError`, which lists all that is wrong with them."""
    read = _read_clips(config)
    read.report.raise_for_errors()
    pixels = np.stack([clip for clip in read.frames if clip is not None])
    captions = [(caption,) for caption in read.captions]
    return Stimuli(pixels, captions, read.names, warnings=tuple(map(str, read.report.warnings)))


def load_brains(config: FolderConfig, stimuli: Stimuli) -> BrainData:
    """Read or simulate what brains answered. Raises `DatasetError`, which lists all that is wrong."""
    clips = [stimuli.clips[row : row + 1][0] for row in range(len(stimuli.clips))]
    read = _read_brains(config, stimuli.source, clips)
    report = DataReport(read.problems)
    report.raise_for_errors()
    brains = _simulated(stimuli, read, config) if read.fmri is None else _recorded(read, read.fmri)
    return replace(brains, warnings=tuple(map(str, report.warnings)))


@dataclass(frozen=True)
class _Clips:
    """What was found of clips and captions, and what is wrong with them."""

    names: Sequence[str]
    frames: Sequence[Frames | None]
    """None for a clip that cannot be read."""
    captions: Sequence[str]
    problems: tuple[DataProblem, ...]

    @property
    def report(self) -> DataReport:
        return DataReport(self.problems)


@dataclass(frozen=True)
class _Brains:
    """What was found of fMRI and split, and what is wrong with them."""

    fmri: NDArray[np.float32] | None
    """[subjects, clips, voxels]; None if it is simulated or cannot be read."""
    split: Sequence[str]
    block: Sequence[int]
    problems: tuple[DataProblem, ...]


def _read_clips(config: FolderConfig) -> _Clips:
    sources = _sources(config)
    if not sources:
        right = "it must hold GIF or MP4 clips or folders of PNG, in itself or in its sub-folder 'clips'"
        what = "there are no clips" if config.path.is_dir() else "there is no such folder"
        return _Clips((), (), (), (DataProblem(str(config.path), what, right),))
    names = [source.name for source in sources]
    clips, problems = _clips(sources, config)
    captions, of_captions = read_captions(config.path / config.captions, names)
    return _Clips(names, clips, captions, (*problems, *_ignored(sources, config), *of_captions))


def _read_brains(config: FolderConfig, names: Sequence[str], clips: Sequence[Frames | None]) -> _Brains:
    fmri, of_fmri = (None, []) if config.simulate else read_fmri(config.path / config.fmri, clips=len(names))
    split, block, of_split = split_blocks(len(names), config)
    of_twins = duplicates(clips, names, split) if split else []
    return _Brains(fmri, split, block, (*of_fmri, *of_split, *of_twins))


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


def _recorded(read: _Brains, fmri: NDArray[np.float32]) -> BrainData:
    """Return fMRI that has one row for each clip, [subjects, clips, voxels]."""
    onsets, voxels = np.arange(fmri.shape[1])[:, None], VoxelTable(np.full(fmri.shape[2], _EVERYWHERE))
    return BrainData(
        kind="rows",
        subjects=[Subject(f"subject{index}", rows, onsets, None, voxels) for index, rows in enumerate(fmri)],
        split=read.split,
        block=read.block,
        lag_tr=0,
        tr=TR,
        roi_names=(_EVERYWHERE,),
    )


def _simulated(stimuli: Stimuli, read: _Brains, config: FolderConfig) -> BrainData:
    """Let one of the phantom's brains watch the clips."""
    run_clips = max(RUN_CLIPS, config.block_clips)
    plan = schedule(read.split, run_clips=run_clips, rest_tr=REST_TR, repeats=REPEATS)
    return watched(stimuli, plan, split=read.split, block=read.block, names=["simulated"], config=config)


def _sources(config: FolderConfig) -> list[Path]:
    """Return the paths of the clips, in natural order of their names."""
    folder = config.path / "clips" if (config.path / "clips").is_dir() else config.path
    return clips_in(folder) if folder.is_dir() else []


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
