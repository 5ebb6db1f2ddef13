"""Finds clips, and reads one at an even frame rate: for data sets, for judging, and for cutting."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import ClipError
from trainables.datasets.frame_times import frame_counts
from trainables.datasets.pictures import is_clip, pictures, png_files, time_rounding

Frames = NDArray[np.uint8]
"""RGB, [F, H, W, 3] or one [H, W, 3]."""
Crop = tuple[int, int, int, int]

LONGEST = 1000
"""Frames in a clip. Longer files are refused: clips last a few seconds."""
_MOST_BYTES = 1 << 32
"""Bytes of all frames of one clip in memory."""


def clips_in(folder: Path, *, arrays: bool = False) -> list[Path]:
    """Return the clips in `folder` in natural order of their names; hidden ones are left out.

    With `arrays` files .npy count as clips.
    """
    clips = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (is_clip(path) or (arrays and path.suffix.lower() == ".npy"))
    ]
    return sorted(clips, key=lambda path: natural(path.name))


def files(path: Path) -> list[Path]:
    """Return the files that make up the clip `path`, in the order of their frames."""
    return png_files(path) if path.is_dir() else [path]


def read_clip(path: Path, *, frames: int, resolution: int, crop: Crop | None = None) -> Frames:
    """Read `frames` evenly spaced frames, from the first to the last, uint8 [frames, resolution, resolution, 3].

    A clip with fewer frames shows some twice. `crop` is top, bottom, left, right in pixels; what remains is resized
    without keeping its proportions.

    Raises:
        ClipError: As for `decode`; or it has one frame, or is smaller than `crop`.
    """
    return read_frames(path, frames=frames, fit=lambda picture: _fit(picture, resolution, crop))


def read_frames(path: Path, *, frames: int, fit: Callable[[Image.Image], Frames]) -> Frames:
    """Read `frames` evenly spaced frames, from the first to the last, each converted by `fit`.

    Raises:
        ClipError: As for `decode`; or it has one frame.
    """
    return choose_frames(decode(path, fit)[0], frames)


def choose_frames(shown: Sequence[Frames], frames: int) -> Frames:
    """Return `frames` evenly spaced ones of the frames of a clip. Raises `ClipError` if there is only one."""
    if len(shown) < 2:
        raise ClipError(f"{len(shown)} frame(s), but a clip needs at least two")
    chosen = np.linspace(0, len(shown) - 1, frames).round().astype(int)
    return np.stack([shown[index] for index in chosen])


def _fit(picture: Image.Image, resolution: int, crop: Crop | None) -> Frames:
    if crop is not None:
        top, bottom, left, right = crop
        if bottom > picture.height or right > picture.width:
            raise ClipError(f"frames of {picture.height} x {picture.width} pixels are smaller than crop {list(crop)}")
        picture = picture.crop((left, top, right, bottom))
    return np.asarray(picture.resize((resolution, resolution), Image.Resampling.BICUBIC))


def decode(path: Path, keep: Callable[[Image.Image], Frames]) -> tuple[list[Frames], float | None]:
    """Return the frames of `path` at an even rate, converted by `keep`, and its length in seconds if the file has it.

    Where frame times differ by more than rounding, frames are repeated: equal neighbours that a GIF writer merged into
    one long frame are restored, and a video of variable rate is sampled at its own times.

    Args:
        path: of a clip, as `is_clip` has it.
        keep: converts a picture in RGB; only its result stays in memory.

    Raises:
        ClipError: As for `pictures`; or it is too large (`LONGEST`, 4 GiB in all).
    """
    kept: list[Frames] = []
    times: list[Fraction] = []
    for picture, time in pictures(path):
        kept.append(keep(picture))
        times.append(time)
        _check_bytes(len(kept), kept)
        if len(kept) > LONGEST:
            raise ClipError(f"more than {LONGEST} frames; cut it into clips of about two seconds")
    counts = frame_counts(times, rounding=time_rounding(path))
    if sum(counts) > max(LONGEST, len(kept)):
        shortest, longest = (round(1000 * limit(times)) for limit in (min, max))
        raise ClipError(f"its frames last {shortest} to {longest} ms; an even frame rate is needed")
    _check_bytes(sum(counts), kept)
    even = [frame for frame, count in zip(kept, counts, strict=True) for _ in range(count)]
    return even, float(sum(times)) if any(times) else None


def _check_bytes(count: int, kept: Sequence[Frames]) -> None:
    if count * kept[-1].nbytes > _MOST_BYTES:
        raise ClipError(f"more than {_MOST_BYTES >> 30} GiB of pixels; cut it, or make it smaller")
