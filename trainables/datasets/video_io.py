"""Reads videos made elsewhere at full size for judging: GIF, MP4, PNG folders, .npy, and truth beside reconstruction.

`clips.read_clip` makes training clips of a fixed size; here nothing is resized on reading, since what a file really
holds (its size, frame count, padding, alpha) decides how systems can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.clips import Frames, decode
from trainables.datasets.errors import ClipError
from trainables.datasets.npy_files import ArrayFileError, map_npy

WIDEST_PADDING = 32
_BLACK = 8
"""Values below this count as black: lossy coding adds noise."""
_BRIGHTEST_SPECK, _MEAN_OF_SPECKS = 48, 1.0
"""Largest value and mean of a dithered black border; in three public GIFs they are 26 and 0.2 at most."""


@dataclass(frozen=True)
class Video:
    """One video as it lies in its file."""

    frames: Frames
    """`[F, H, W, 3]`."""
    seconds: float | None
    """Its length; None if the file does not have it."""


def as_gif(frames: Frames) -> Frames:
    """Return frames `[F, H, W, 3]` as a GIF keeps them: with at most 256 colours each, chosen by median cut."""
    images = (Image.fromarray(frame).quantize(256, Image.Quantize.MEDIANCUT) for frame in frames)
    return np.stack([np.asarray(image.convert("RGB")) for image in images])


def read_video(path: Path) -> Video:
    """Read all frames of `path` at full size.

    A .npy holds `[F, H, W, 3]` as uint8 or as floats from 0 to 1.

    Raises:
        ClipError: As for `decode`, or an array holds something else.
    """
    if path.suffix.lower() == ".npy":
        return Video(_array(path), None)
    frames, seconds = decode(path, np.asarray)
    return Video(np.stack(frames), seconds)


def _array(path: Path) -> Frames:
    right = "[frames, height, width, 3] as uint8, or as floats from 0 to 1, is needed"
    try:
        array = map_npy(path)
    except (OSError, ArrayFileError) as error:
        raise ClipError(f"cannot be decoded: {error}; {right}") from error
    if array.ndim != 4 or array.shape[-1] != 3 or array.size == 0:
        raise ClipError(f"holds {array.dtype} {list(array.shape)}; {right}")
    if array.dtype == np.uint8:
        return np.array(array, order="C", subok=False)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ClipError(f"holds {array.dtype} outside 0 to 1, or NaN; {right}")
    return np.asarray(np.round(array * 255), dtype=np.uint8)


def split_pair(frames: Frames) -> tuple[Frames, Frames] | None:
    """Cut truth | reconstruction out of a grid with black padding, `[F, h+2p, 2w+3p, 3]`; None if it is none.

    Such grids are what `torchvision.utils.make_grid` draws. Cutting them at half the width, as the released metrics
    do, leaves borders in both halves and shifts one against the other by a pixel (mind-animator.md B32).
    """
    padding = _padding(frames, is_black)
    if padding is None:
        padding = _padding(frames, _is_dithered_black)
    if padding is None:
        return None
    half = (frames.shape[2] - 3 * padding) // 2
    rows = frames[:, padding:-padding]
    truth, prediction = rows[:, :, padding : padding + half], rows[:, :, 2 * padding + half : -padding]
    return np.ascontiguousarray(truth), np.ascontiguousarray(prediction)


_IsBlack = Callable[[NDArray[np.uint8]], bool]


def _padding(frames: Frames, is_border: _IsBlack) -> int | None:
    """Return the padding in pixels, if `frames` is a grid with such borders."""
    height, width = frames.shape[1:3]
    candidates = range(1, WIDEST_PADDING + 1)
    fits = [p for p in candidates if (width - 3 * p) % 2 == 0 and _is_grid(frames, p, is_border)]
    # Dark content may look like wider or narrower padding: square halves decide, else the widest.
    return max(fits, key=lambda p: (width - 3 * p == 2 * (height - 2 * p), p), default=None)


def _is_grid(frames: Frames, padding: int, is_border: _IsBlack) -> bool:
    height, width = frames.shape[1:3]
    half = (width - 3 * padding) // 2
    if half < padding or height < 3 * padding:
        return False
    columns = [slice(0, padding), slice(padding + half, 2 * padding + half), slice(width - padding, width)]
    rows = [slice(0, padding), slice(height - padding, height)]
    strips = [frames[:, :, c] for c in columns] + [frames[:, r] for r in rows]
    return all(map(is_border, strips)) and not is_black(frames[:, :, padding : padding + half])


def _is_dithered_black(strip: NDArray[np.uint8]) -> bool:
    """Return whether this may have been black: dithering to the palette of a GIF leaves single brighter pixels."""
    return bool(strip.max() < _BRIGHTEST_SPECK and strip.mean() < _MEAN_OF_SPECKS)


def is_black(frames: NDArray[np.uint8]) -> bool:
    """Return whether there is nothing but coding noise."""
    return bool(frames.max() < _BLACK)


def resample(clip: Frames, *, frames: int, size: tuple[int, int]) -> Frames:
    """Return `[frames, *size, 3]`: frame i of n is the one nearest in time to i/n of the clip.

    Pixels are averaged over areas where they shrink, and interpolated (bicubic) where they grow; what has the right
    size and count already stays as it is.
    """
    nearest = np.floor(np.arange(frames) * len(clip) / frames + 0.5).astype(int)
    chosen = clip[np.minimum(nearest, len(clip) - 1)]
    height, width = size
    if chosen.shape[1:3] == size:
        return np.ascontiguousarray(chosen)
    method = cv2.INTER_AREA if height <= chosen.shape[1] else cv2.INTER_CUBIC
    return np.stack(
        [cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=method) for frame in chosen]
    )
