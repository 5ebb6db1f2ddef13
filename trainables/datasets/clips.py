"""Reads one clip, whatever its format, as a fixed number of small RGB frames."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

Frames = NDArray[np.uint8]
"""RGB, [F, H, W, 3] or one [H, W, 3]."""
Crop = tuple[int, int, int, int]

VIDEO = {".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".avi": "avi", ".mkv": "matroska", ".webm": "matroska"}
"""Suffix to FFmpeg's container format. Left to guess, FFmpeg also follows playlists to other files and hosts."""
LONGEST = 1000
"""Frames in a clip; what is longer is surely not a clip of a few seconds."""


class ClipError(ValueError):
    """A clip cannot be used; the message says why."""


def is_clip(path: Path) -> bool:
    """Tell whether `path` looks like a clip: a GIF, a video, or a folder of PNG."""
    if path.is_dir():
        return any(path.glob("*.png"))
    return path.suffix.lower() in (".gif", *VIDEO)


def files(path: Path) -> list[Path]:
    """Return the files that make up the clip `path`, in the order of their frames."""
    return sorted(path.glob("*.png"), key=lambda file: natural(file.name)) if path.is_dir() else [path]


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names with their numbers as numbers: `clip2` before `clip10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def read_clip(path: Path, *, frames: int, resolution: int, crop: Crop | None = None) -> Frames:
    """Read `frames` evenly spaced frames, the first and the last among them, uint8 [frames, resolution, resolution, 3].

    A clip with fewer frames shows some twice. `crop` is top, bottom, left, right in pixels; what remains is resized
    without keeping its proportions.

    Raises:
        ClipError: It cannot be decoded, ends early, has one frame or over `LONGEST`, or is smaller than `crop`.
    """
    seen: list[Frames] = []
    try:
        for picture in _pictures(path):
            seen.append(_fit(picture, resolution, crop))
            if len(seen) > LONGEST:
                raise ClipError(f"more than {LONGEST} frames; cut it into clips of about two seconds")
    except ClipError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged input
        raise ClipError(f"cannot be decoded after {len(seen)} frame(s): {error}") from error
    if len(seen) < 2:
        raise ClipError(f"{len(seen)} frame(s), but a clip needs at least two")
    chosen = np.linspace(0, len(seen) - 1, frames).round().astype(int)
    return np.stack([seen[index] for index in chosen])


def _fit(picture: Image.Image, resolution: int, crop: Crop | None) -> Frames:
    if crop is not None:
        top, bottom, left, right = crop
        if bottom > picture.height or right > picture.width:
            raise ClipError(f"frames of {picture.height} x {picture.width} pixels are smaller than crop {list(crop)}")
        picture = picture.crop((left, top, right, bottom))
    return np.asarray(picture.resize((resolution, resolution), Image.Resampling.BICUBIC))


def _pictures(path: Path) -> Iterator[Image.Image]:
    if path.suffix.lower() in VIDEO and not path.is_dir():
        yield from _video(path)
    elif path.is_dir():
        for file in files(path):
            with Image.open(file) as picture:
                yield picture.convert("RGB")
    elif not path.read_bytes().rstrip(b"\0").endswith(b";"):
        raise ClipError("no GIF, or one that ends before its trailer")
    else:
        with Image.open(path, formats=["GIF"]) as animation:
            yield from (frame.convert("RGB") for frame in ImageSequence.Iterator(animation))


def _video(path: Path) -> Iterator[Image.Image]:
    import av  # here, so that the command line starts without FFmpeg

    with av.open(str(path), format=VIDEO[path.suffix.lower()]) as container:
        if not container.streams.video:
            raise ClipError("has no video stream")
        stream = container.streams.video[0]
        count = 0
        for frame in container.decode(stream):
            count += 1
            yield Image.fromarray(frame.to_ndarray(format="rgb24"))
        if count < 0.9 * stream.frames:
            raise ClipError(f"{count} of {stream.frames} frames can be decoded: truncated or damaged")
