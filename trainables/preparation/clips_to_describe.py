"""Clips that are to be described: those of a prepared data set, or of a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trainables.datasets.clip_names import natural
from trainables.datasets.clips import Frames
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import DESCRIPTION_FILE
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.video_frames import VIDEO_FORMATS
from trainables.preparation.clip_files import read_square_clip

_SIDE = 224
"""Pixels, as BLIP-2 sees frames."""
_SUFFIXES = (*VIDEO_FORMATS, ".gif", ".npy")


@dataclass(frozen=True)
class ClipsToDescribe:
    """Clips by number."""

    names: Sequence[str]
    read: Callable[[int], Frames]
    """Returns the frames of a clip, uint8 [F,H,W,3]."""


def open_clips_to_describe(source: Path, *, frames: int) -> ClipsToDescribe:
    """Open a prepared data set, or a folder of clips of which `frames` evenly spaced frames are read.

    Raises:
        DatasetError: It is neither.
    """
    if (source / DESCRIPTION_FILE).is_file():
        data = open_prepared(source)
        return ClipsToDescribe([clip.clip_id for clip in data.clips], lambda number: np.asarray(data.frames[number]))
    folder = source / "clips" if (source / "clips").is_dir() else source
    found = [path for path in folder.glob("*") if path.is_dir() or path.suffix.lower() in _SUFFIXES]
    if not found:
        right = "name a prepared data set, or a folder with GIF, videos, folders of PNG, or .npy"
        raise DatasetError.of(DataProblem(str(source), "has no clips", right))
    paths = sorted(found, key=lambda path: natural(path.name))
    return ClipsToDescribe([path.stem for path in paths], partial(_read, paths, frames))


def _read(paths: Sequence[Path], frames: int, number: int) -> Frames:
    return read_square_clip(paths[number], frames=frames, side=_SIDE, fit="squeeze")
