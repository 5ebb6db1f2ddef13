"""What every data set is once it has been read or made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Subject:
    """One brain's answers."""

    name: str
    bold: NDArray[np.float32]
    """Volumes by voxels, [T, V]."""
    roi: NDArray[np.int16]
    """Index into the data set's ROI names, [V]."""
    planted: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Where the brain is simulated: `share` [V, drives], `place` [V, 2], `delay` [V]."""


@dataclass(frozen=True)
class Stimuli:
    """What is shown, and what it is for."""

    clips: NDArray[np.uint8]
    """RGB, [N, F, H, W, 3]."""
    captions: Sequence[str]
    source: Sequence[str]
    """Where each clip came from."""
    split: Sequence[str]
    """`train`, `validation` or `test`."""
    block: Sequence[int]
    """Neighbouring clips that lie in one split."""
    warnings: Sequence[str] = ()
    """What was noticed on reading."""


@dataclass(frozen=True)
class Dataset:
    """Clips, what they show, and what brains answered."""

    stimuli: Stimuli
    onsets: NDArray[np.int64]
    """Volume at each clip's onset, [N, repeats]; -1 for none."""
    runs: NDArray[np.int64] | None
    """First volume of each run; None where each row of the fMRI simply answers one clip."""
    lag_tr: int
    """Volumes from a clip's onset to the one that answers it best."""
    tr: float
    """Seconds per volume."""
    roi_names: Sequence[str]
    subjects: Sequence[Subject]
    drives: Sequence[str] = ()
    """Names of the planted map's columns."""
    factors: Mapping[str, Sequence[float]] | None = None
    """What caused the clips: name to N values."""
