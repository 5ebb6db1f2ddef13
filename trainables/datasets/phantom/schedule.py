"""When each clip is shown: runs of clips with blank volumes between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 12
"""Blank volumes at a run's end: the last clip's response has died away before the next run starts."""


@dataclass(frozen=True)
class Schedule:
    """The clip on the screen at each volume."""

    onsets: NDArray[np.int64]
    """Volume at each clip's onset, [N, repeats]; -1 where a clip was not shown again."""
    runs: NDArray[np.int64]
    """First volume of each run."""
    volumes: int

    def clip_at(self) -> NDArray[np.int64]:
        """Return the clip shown at each volume, [volumes]; -1 is blank."""
        shown = np.full(self.volumes, -1)
        for repeat in self.onsets.T:
            (clips,) = np.nonzero(repeat >= 0)
            shown[repeat[clips]] = clips
        return shown


def schedule(split: Sequence[str], *, run_clips: int, rest_tr: int, repeats: int) -> Schedule:
    """Show the clips split by split, `run_clips` at a time; validation and test runs are shown `repeats` times.

    A run holds clips of one split only and ends with `TAIL` blank volumes, so no response to a training clip is
    left when a test clip is on.
    """
    onsets = np.full((len(split), repeats), -1)
    starts: list[int] = []
    now = 0
    for name in ("train", "validation", "test"):
        clips = [index for index, of in enumerate(split) if of == name]
        for first in range(0, len(clips), run_clips):
            run = clips[first : first + run_clips]
            for repeat in range(1 if name == "train" else repeats):
                starts.append(now)
                onsets[run, repeat] = now + np.arange(len(run)) * (1 + rest_tr)
                now += len(run) * (1 + rest_tr) + TAIL
    return Schedule(onsets, np.array(starts), now)
