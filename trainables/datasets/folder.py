"""Reads clips, captions and fMRI from a user's folder. All problems are reported at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import FolderConfig
from trainables.datasets.base import BrainData, Stimuli, Subject, blocks_of, digest_of
from trainables.datasets.captions import read_captions
from trainables.datasets.clips import Frames, clips_in, files, read_clip
from trainables.datasets.errors import ClipError, DataProblem, DataReport, DataVerdict
from trainables.datasets.fmri import read_fmri
from trainables.datasets.phantom import GENERATOR
from trainables.datasets.phantom.bold import TR
from trainables.datasets.phantom.schedule import schedule
from trainables.datasets.phantom.world import watched
from trainables.datasets.pointers import pointer_problems
from trainables.datasets.prepared.tables import VoxelTable
from trainables.datasets.splits import clips_per_block, duplicates, neighbours, split_clips
from trainables.datasets.verdicts import recall_verdict, remember_verdict
from trainables.file_version import digest_of_file

RUN_CLIPS, REPEATS, REST_TR = 20, 2, 3
"""Design of the simulated experiment, with the phantom's defaults."""
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
    """Return the SHA-256 digests of split and fMRI, or with `simulate` the version of the phantom's brains."""
    split = {} if config.split is None else {"split": _digest(config.path / config.split)}
    return {**split, **({"generator": GENERATOR} if config.simulate else {"fmri": _digest(config.path / config.fmri)})}


def clips_files(config: FolderConfig) -> list[Path]:
    """Return the files of the clips and of their captions."""
    return [*(file for clip in _sources(config) for file in files(clip)), config.path / config.captions]


def brains_files(config: FolderConfig) -> list[Path]:
    """Return the files of fMRI and split."""
    names = (config.split, None if config.simulate else config.fmri)
    return [config.path / name for name in names if name is not None]


def card_files(config: FolderConfig) -> tuple[Path, ...]:
    """Return that a folder has no card."""
    return ()


def check(config: FolderConfig) -> DataVerdict:
    """Return what is wrong. Clips are decoded, one at a time, only if the files have changed since the last check."""
    key = _checked_content(config)
    verdict = recall_verdict(config.path, key)
    if verdict is not None:
        return verdict
    verdict = _check(config)
    if _checked_content(config) == key:  # else files changed while they were read
        remember_verdict(config.path, key, verdict, beside=False)
    return verdict


def _checked_content(config: FolderConfig) -> list[Any]:
    """Return what a check depends on: the digests of all files, and the whole config, since messages name paths."""
    return [config.model_dump(mode="json"), clips_fingerprint(config), brains_fingerprint(config)]


def _check(config: FolderConfig) -> DataVerdict:
    kind: Literal["series", "rows"] = "series" if config.simulate else "rows"
    sources, problems = _found(config)
    if not sources:
        return DataVerdict(DataReport(problems), kind=kind)
    pointers = pointer_problems((*clips_files(config), *brains_files(config)), config.path)
    if pointers:  # decoders would report them as damaged
        return DataVerdict(DataReport(tuple(pointers)), kind=kind)
    names = [source.name for source in sources]
    digests, of_clips = _clip_digests(sources, config)
    _, of_captions = read_captions(config.path / config.captions, names)
    brains = _read_brains(config, names, digests)
    report = DataReport((*of_clips, *problems, *of_captions, *brains.problems))
    return DataVerdict(report, 0 if report.errors else brains.subjects, kind)


def load_clips(config: FolderConfig) -> Stimuli:
    """Open the clips, which are decoded on access, and read their captions.

    Raises:
        DatasetError: There are no clips, or captions cannot be used. A clip that cannot be decoded raises on reading.
    """
    sources, problems = _found(config)
    names = [source.name for source in sources]
    captions, of_captions = read_captions(config.path / config.captions, names) if sources else ([], [])
    report = DataReport((*problems, *of_captions))
    report.raise_for_errors()
    clips = DecodedClips(tuple(sources), config)
    return Stimuli(clips, [(caption,) for caption in captions], names, warnings=tuple(map(str, report.warnings)))


def load_brains(config: FolderConfig, stimuli: Stimuli) -> BrainData:
    """Open or simulate the fMRI responses. Raises `DatasetError`, which lists all that is wrong."""
    digests = stimuli.digests
    if digests is None:
        digests = [digest_of(clip) for rows in blocks_of(stimuli.clips) for clip in stimuli.clips[rows]]
    read = _read_brains(config, stimuli.source, digests)
    report = DataReport(read.problems)
    report.raise_for_errors()
    brains = _simulated(stimuli, read, config) if read.fmri is None else _recorded(read, read.fmri)
    return replace(brains, warnings=tuple(map(str, report.warnings)))


@dataclass(frozen=True)
class DecodedClips:
    """The clips of a folder, decoded on access."""

    sources: tuple[Path, ...]
    config: FolderConfig

    @property
    def shape(self) -> tuple[int, ...]:
        """N, F, H, W, 3."""
        side = self.config.resolution
        return (len(self.sources), self.config.frames, side, side, 3)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: slice, /) -> Frames:
        """Decode the clips `rows`.

        Raises:
            DatasetError: One cannot be decoded; the message lists all clips of the folder that cannot.
        """
        try:
            return np.stack([_decoded(source, self.config) for source in self.sources[rows]])
        except ClipError:
            DataReport(tuple(_clip_digests(self.sources, self.config)[1])).raise_for_errors()
            raise


def _decoded(source: Path, config: FolderConfig) -> Frames:
    return read_clip(source, frames=config.frames, resolution=config.resolution, crop=config.crop)


@dataclass(frozen=True)
class _Brains:
    """fMRI and split as far as they can be read, and what is wrong with them."""

    fmri: NDArray[Any] | None
    """Mapped, [subjects, clips, voxels]; None if it is simulated or cannot be read."""
    split: Sequence[str]
    block: Sequence[int]
    cluster: Sequence[str]
    problems: tuple[DataProblem, ...]

    @property
    def subjects(self) -> int:
        return 1 if self.fmri is None else len(self.fmri)


def _found(config: FolderConfig) -> tuple[list[Path], tuple[DataProblem, ...]]:
    """Return the paths of the clips, and what is wrong or ignored in the folder."""
    sources = _sources(config)
    if sources:
        return sources, tuple(_ignored(sources, config))
    right = "it must hold GIF or MP4 clips or folders of PNG, in itself or in its sub-folder 'clips'"
    what = "there are no clips" if config.path.is_dir() else "there is no such folder"
    return [], (DataProblem(str(config.path), what, right),)


def _clip_digests(sources: Sequence[Path], config: FolderConfig) -> tuple[list[str | None], list[DataProblem]]:
    """Decode all clips, one at a time; return the digest of each (None if it cannot be read) and what is wrong."""
    digests: list[str | None] = []
    problems = []
    right = "replace or remove the clip, its caption and its fMRI row"
    for source in sources:
        try:
            digests.append(digest_of(_decoded(source, config)))
        except ClipError as error:
            digests.append(None)
            problems.append(DataProblem(str(source), str(error), right))
    return digests, problems


def _read_brains(config: FolderConfig, names: Sequence[str], digests: Sequence[str | None]) -> _Brains:
    fmri, of_fmri = (None, []) if config.simulate else read_fmri(config.path / config.fmri, clips=len(names))
    of_clips = split_clips(names, config)
    split = of_clips.split
    leaks = [*duplicates(digests, names, split), *neighbours(split, config)] if split else []
    return _Brains(fmri, split, of_clips.block, of_clips.cluster, (*of_fmri, *of_clips.problems, *leaks))


def _recorded(read: _Brains, fmri: NDArray[Any]) -> BrainData:
    """Return fMRI that has one row for each clip, [subjects, clips, voxels]."""
    onsets, voxels = np.arange(fmri.shape[1])[:, None], VoxelTable(np.full(fmri.shape[2], _EVERYWHERE))
    return BrainData(
        kind="rows",
        subjects=[Subject(f"subject{index}", rows, onsets, None, voxels) for index, rows in enumerate(fmri)],
        split=read.split,
        block=read.block,
        cluster=read.cluster,
        lag_tr=0,
        tr=TR,
        roi_names=(_EVERYWHERE,),
    )


def _simulated(stimuli: Stimuli, read: _Brains, config: FolderConfig) -> BrainData:
    """Simulate the responses of a phantom's subjects to the clips."""
    run_clips = max(RUN_CLIPS, clips_per_block(len(read.split), config))
    plan = schedule(read.split, run_clips=run_clips, rest_tr=REST_TR, repeats=REPEATS)
    brains = watched(stimuli, plan, split=read.split, block=read.block, names=["simulated"], config=config)
    return replace(brains, cluster=read.cluster)


def _sources(config: FolderConfig) -> list[Path]:
    """Return the paths of the clips, in natural order of their names."""
    folder = config.path / "clips" if (config.path / "clips").is_dir() else config.path
    return clips_in(folder) if folder.is_dir() else []


def _ignored(sources: Sequence[Path], config: FolderConfig) -> list[DataProblem]:
    """Return a warning for each file in the sub-folder `clips` that is not a clip. Elsewhere any file is allowed."""
    folder = config.path / "clips"
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    right = "it is ignored; clips are GIF, MP4 or folders of PNG"
    return [DataProblem(str(path), "is no clip", right, fatal=False) for path in found if path not in sources]


def _digest(path: Path) -> str:
    """Return a file's SHA-256, or "missing": `check` reports what is wrong with it."""
    return digest_of_file(path) if path.is_file() else "missing"
