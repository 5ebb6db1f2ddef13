"""Reads a lab's clips as square frames of one size: GIF, video, folders of PNG, or arrays."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from trainables.datasets.clips import Frames, choose_frames, read_frames
from trainables.datasets.video_io import read_video
from trainables.preparation.files import require_content

Fit = Literal["crop", "squeeze"]


def read_square_clip(path: Path, *, frames: int, side: int, fit: Fit) -> Frames:
    """Return `frames` evenly spaced frames of a clip, from the first to the last, uint8 [frames, side, side, 3].

    Raises:
        ClipError: It cannot be decoded, ends early, or has one frame.
        InputError: Its content was not downloaded.
    """
    if not path.is_dir():
        require_content(path)
    square = partial(square_picture, side=side, fit=fit)
    if path.suffix.lower() == ".npy":
        return choose_frames([square(Image.fromarray(frame)) for frame in read_video(path).frames], frames)
    return read_frames(path, frames=frames, fit=square)


def square_picture(picture: Image.Image, *, side: int, fit: Fit) -> Frames:
    """Return the largest square in the middle of a picture, or all of it squeezed, uint8 [side, side, 3]."""
    if fit == "crop" and picture.width != picture.height:
        size = min(picture.size)
        left, top = (picture.width - size) // 2, (picture.height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    if picture.size == (side, side):
        return np.asarray(picture)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
