"""When each subject saw each clip, and which clips a volume answers: what is known of fMRI without its values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import BrainData, BrainKind

Doubles = NDArray[np.float64]

DROPPED = "dropped"
"""The split of clips without a BOLD volume."""
WITHHELD = "withheld"
"""The split of training clips whose fMRI is not used."""


@dataclass(frozen=True)
class Showing:
    """When one subject saw the clips."""

    onsets: NDArray[np.int64] | NDArray[np.float64]
    """Volume at each clip's onset, or its row, [N, repeats]; -1 for none."""
    runs: NDArray[np.int64] | None
    """First volume of each run; None for rows."""
    volumes: int


@dataclass(frozen=True)
class Presentations:
    """When clips were shown, and what each clip is for."""

    kind: BrainKind
    split: Sequence[str]
    lag_tr: int
    """Volumes from a clip's onset to the one that answers it best; 0 for rows."""
    subjects: Sequence[Showing]
    cluster: Sequence[str] = ()
    """As in `BrainData`."""

    def split_of(self, subject: int, *, lag_tr: int | None) -> list[str]:
        """Return the split of each clip, `DROPPED` where no volume of `subject` answers it.

        Args:
            subject: Its number, from 0.
            lag_tr: The lag of the study; None: that of the data set.
        """
        shown = self.subjects[subject]
        lag = self.lag_tr if lag_tr is None else lag_tr
        runs = runs_of(shown.runs, volumes=shown.volumes)
        volumes = answering(np.asarray(shown.onsets, np.float64), runs, lag=lag)
        return [name if any(row >= 0) else DROPPED for name, row in zip(self.split, volumes, strict=True)]


def presentations_of(brains: BrainData) -> Presentations:
    """Return when the clips of `brains` were shown."""
    subjects = [Showing(subject.onsets, subject.runs, len(subject.bold)) for subject in brains.subjects]
    return Presentations(brains.kind, brains.split, brains.lag_tr, subjects, brains.cluster)


def runs_of(starts: Sequence[int] | NDArray[np.int64] | None, *, volumes: int) -> tuple[tuple[int, int], ...]:
    """Return first and end volume of each run; rows of presentations are one run."""
    firsts = [0] if starts is None else [int(start) for start in starts]
    return tuple(zip(firsts, [*firsts[1:], volumes], strict=True))


def answering(onsets: Doubles, runs: Sequence[tuple[int, int]], *, lag: int) -> Doubles:
    """Return the volume of each presentation, [N, repeats]; -1 if its run ended before, or if it was not shown."""
    ends = np.array([end for _, end in runs])
    end = ends[np.searchsorted(ends, onsets, side="right").clip(max=len(ends) - 1)]
    return np.where((onsets >= 0) & (np.ceil(onsets + lag) < end), onsets + lag, -1.0)
