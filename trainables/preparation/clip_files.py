"""A lab's own clips as square frames of one size: GIF, video, folders of PNG, or arrays."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from trainables.datasets.clip_names import natural
from trainables.datasets.clips import ClipError, Frames, decode, is_clip
from trainables.datasets.video_io import read_video

Fit = Literal["crop", "squeeze"]


def clip_paths(folder: Path) -> list[Path]:
    """Return the clips in `folder` in natural order of their names: clip2 before clip10."""
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (is_clip(path) or path.suffix.lower() == ".npy")
    ]
    return sorted(found, key=lambda path: natural(path.name))


def read_square_clip(path: Path, *, frames: int, side: int, fit: Fit) -> Frames:
    """Return `frames` evenly spaced frames of a clip, the first and the last among them, uint8 [frames, side, side, 3].

    Raises:
        ClipError: It cannot be decoded, ends early, or has one frame.
    """
    square = partial(square_picture, side=side, fit=fit)
    if path.suffix.lower() == ".npy":
        seen = [square(Image.fromarray(frame)) for frame in read_video(path).frames]
    else:
        seen, _ = decode(path, lambda picture, _: square(picture), missing=0.1)
    if len(seen) < 2:
        raise ClipError(f"{len(seen)} frame(s), but a clip needs at least two")
    chosen = np.linspace(0, len(seen) - 1, frames).round().astype(int)
    return np.stack([seen[index] for index in chosen])


def square_picture(picture: Image.Image, *, side: int, fit: Fit) -> Frames:
    """Return the largest square in the middle of a picture, or all of it squeezed, uint8 [side, side, 3]."""
    picture = picture.convert("RGB")
    if fit == "crop" and picture.width != picture.height:
        size = min(picture.size)
        left, top = (picture.width - size) // 2, (picture.height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    if picture.size == (side, side):
        return np.asarray(picture)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
