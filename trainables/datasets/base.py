"""What a data set is: clips, what they show, and what brains answered.

Clips and fMRI may be larger than the memory. Both are read by ranges, and nobody asks for all of them at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.prepared.tables import VoxelTable

Frames = NDArray[np.uint8]
BrainKind = Literal["series", "rows"]


class ClipSequence(Protocol):
    """The frames of N clips, uint8 RGB [N, F, H, W, 3], read by ranges.

    An array is one, in memory or mapped from a file; so is anything that decodes or draws clips when asked.
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
    """What is shown: clips and captions."""

    clips: ClipSequence
    captions: Sequence[Sequence[str]]
    """The captions of each clip: one or more. The first stands for the clip where one is needed."""
    source: Sequence[str]
    """Where each clip came from."""
    factors: Mapping[str, Sequence[float]] | None = None
    """What caused the clips: name to N values. None unless they are drawn."""
    warnings: Sequence[str] = ()
    """What was noticed on reading."""

    @property
    def first_captions(self) -> list[str]:
        """The first caption of each clip."""
        return [texts[0] for texts in self.captions]


@dataclass(frozen=True)
class Subject:
    """One brain's answers, and when it saw which clip: each subject has runs and an order of clips of its own."""

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
    """What brains answered to N clips, and what each clip is for."""

    kind: BrainKind
    """`series`: volumes of runs. `rows`: one vector per presentation, which is never lagged or detrended."""
    subjects: Sequence[Subject]
    split: Sequence[str]
    """`train`, `validation`, `test` or `excluded`, for each clip."""
    block: Sequence[int]
    """Neighbouring clips that lie in one split."""
    lag_tr: int
    """Volumes from a clip's onset to the one that answers it best; 0 for rows."""
    tr: float
    """Seconds per volume."""
    roi_names: Sequence[str]
    drives: Sequence[str] = ()
    """Names of the planted map's columns."""
    warnings: Sequence[str] = ()
    """What was noticed on reading."""

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
    """Clips, what they show, and what brains answered."""

    stimuli: Stimuli
    brains: BrainData
