"""Truth over reconstruction of a fixed set of clips, one picture each: the same clips for all trials of a data set."""

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from trainables.judging.controls import SYSTEM, TRUTH
from trainables.judging.trial_videos import SplitVideos
from trainables.metrics.clip import Clip

_STILLS, _TILE, _GAP = 4, 96, 4
CLIPS = 6
"""Number of clips of each split."""


def clip_images(videos: SplitVideos) -> Iterator[tuple[str, Image.Image]]:
    """Yield a name and a picture for each of the first clips of a split, in the order of the data set.

    The upper row shows four frames of the true clip, the lower row the same frames of the reconstruction.
    """
    for row in range(min(CLIPS, len(videos.clips))):
        rows = [_stills(videos.videos[name][row]) for name in (TRUTH, SYSTEM)]
        gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
        yield f"{videos.split} clip {videos.clips[row]:05d}", Image.fromarray(np.concatenate([rows[0], gap, rows[1]]))


def _stills(clip: Clip) -> Clip:
    """Return some frames of `clip` [F,H,W,3] side by side, including first and last, [tile, stills x tile, 3]."""
    chosen = np.linspace(0, len(clip) - 1, _STILLS).round().astype(int)
    tiles = [cv2.resize(frame, (_TILE, _TILE), interpolation=cv2.INTER_AREA) for frame in clip[chosen]]
    return np.concatenate(tiles, axis=1)
