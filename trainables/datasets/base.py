"""The parts of a data set: clips, captions and fMRI responses.

Clips and fMRI may be larger than the memory. Both are read by ranges, never all at once.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import ChangedError
from trainables.datasets.prepared.tables import VoxelTable

Frames = NDArray[np.uint8]
BLOCK = 1 << 26
"""Bytes of clips that are read at a time."""
BrainKind = Literal["series", "rows"]


class ClipSequence(Protocol):
    """The frames of N clips, uint8 RGB [N, F, H, W, 3], read by ranges.

    An array has this interface, in memory or mapped from a file; so have classes that decode or generate on demand.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """N, F, H, W, 3."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, rows: slice, /) -> Frames:
        """Return the clips `rows`, [n, F, H, W, 3]."""


class VolumeSequence(Protocol):
    """fMRI, float32 [T, V], read by ranges of volumes or rows: an array, in memory or mapped from a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """T, V."""

    def __len__(self) -> int:
        """Return T."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return the volumes `rows`, [n, V]."""


@dataclass(frozen=True)
class Stimuli:
    """Clips and their captions."""

    clips: ClipSequence
    captions: Sequence[Sequence[str]]
    """The captions of each clip: one or more. The first stands for the clip where one is needed."""
    source: Sequence[str]
    """Where each clip came from."""
    factors: Mapping[str, Sequence[float]] | None = None
    """The factors from which clips were generated: name to N values. None for real clips."""
    warnings: Sequence[str] = ()
    """Warnings from reading."""
    digests: Sequence[str] | None = None
    """SHA-256 of each clip's frames, uint8 in C order; None before all clips have been read."""
    prepared: str | None = None
    """The digest of the prepared data set that holds the clips: they are read from there, never copied. Else None."""

    @property
    def first_captions(self) -> list[str]:
        """The first caption of each clip."""
        return [texts[0] for texts in self.captions]


class VerifiedClips:
    """Clips that are compared with their SHA-256 on reading."""

    def __init__(self, clips: ClipSequence, digests: Sequence[str], *, names: Sequence[str]) -> None:
        self._clips, self._digests, self._names = clips, digests, names

    @property
    def shape(self) -> tuple[int, ...]:
        """N, F, H, W, 3."""
        return self._clips.shape

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, rows: slice, /) -> Frames:
        """Return the clips `rows`. Raises `ChangedError` if one has other pixels than when its digest was taken."""
        frames = self._clips[rows]
        for row, clip in zip(range(*rows.indices(len(self))), frames, strict=True):
            if digest_of(clip) != self._digests[row]:
                raise ChangedError(
                    f"clip {row} ({self._names[row]}) has other pixels than its digest says: the files were changed "
                    "since they were prepared; prepare the data set again"
                )
        return frames


def digest_of(clip: Frames) -> str:
    """Return the SHA-256 of a clip's frames, uint8 in C order."""
    return hashlib.sha256(np.ascontiguousarray(clip).data).hexdigest()


def clips_at(clips: ClipSequence, rows: Sequence[int]) -> Frames:
    """Return the clips with the indices `rows`, in that order. Reads no others."""
    return np.concatenate([clips[row : row + 1] for row in rows])


def blocks_of(clips: ClipSequence, *, size: int | None = None) -> Iterator[slice]:
    """Yield ranges that cover all clips. Each has about `size` bytes (`BLOCK` by default) and at least one clip."""
    count, *shape = clips.shape
    step = max(1, (BLOCK if size is None else size) // max(1, prod(shape)))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


@dataclass(frozen=True)
class Subject:
    """The fMRI of one subject, and when it saw each clip. Every subject has its own runs and its own order of clips."""

    name: str
    bold: VolumeSequence
    """float32: volumes by voxels of a series, or one row per presentation, [T, V]."""
    onsets: NDArray[np.int64] | NDArray[np.float64]
    """Volume at each clip's onset, or its row, [N, repeats]; -1 for none. A fraction lies between two volumes."""
    runs: NDArray[np.int64] | None
    """First volume of each run; None for rows."""
    voxels: VoxelTable
    planted: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Where the brain is simulated: `share` [V, drives], `place` [V, 2], `delay` [V]."""


@dataclass(frozen=True)
class BrainData:
    """The fMRI of all subjects for N clips, and the split of the clips."""

    kind: BrainKind
    """`series`: volumes of runs. `rows`: one vector per presentation, which is never lagged or detrended."""
    subjects: Sequence[Subject]
    split: Sequence[str]
    """`train`, `validation`, `test` or `excluded`, for each clip."""
    block: Sequence[int]
    """Neighbouring clips that lie in one split."""
    lag_tr: int
    """Volumes from the onset of a clip to its response; 0 for rows."""
    tr: float
    """Seconds per volume."""
    roi_names: Sequence[str]
    drives: Sequence[str] = ()
    """Names of the planted map's columns."""
    cluster: Sequence[str] = ()
    """Cluster of each clip, such as `film seg1` (`datasets.clusters`): the unit of tests over clips. Empty: every clip
    is on its own."""
    warnings: Sequence[str] = ()
    """Warnings from reading."""
    space: str = ""
    """Of the voxels, such as fsLR-32k; "" if it is not known."""

    def __post_init__(self) -> None:
        if self.kind == "rows" and self.lag_tr != 0:
            raise ValueError(f"fMRI with one row per presentation has no lag, but lag_tr is {self.lag_tr}")


def roi_numbers(voxels: VoxelTable, roi_names: Sequence[str]) -> NDArray[np.int16]:
    """Return the index into `roi_names` of each voxel's main ROI, [V].

    Raises:
        ValueError: A voxel's ROI is not among them.
    """
    number = {name: index for index, name in enumerate(roi_names)}
    unknown = sorted(set(voxels.roi.tolist()) - number.keys())
    if unknown:
        raise ValueError(f"voxels lie in {', '.join(map(repr, unknown))}, but the ROIs are {', '.join(roi_names)}")
    return np.array([number[name] for name in voxels.roi.tolist()], np.int16)


@dataclass(frozen=True)
class Dataset:
    """Clips with captions, and the fMRI responses to them."""

    stimuli: Stimuli
    brains: BrainData
