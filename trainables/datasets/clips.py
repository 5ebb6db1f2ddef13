"""Decodes clips of every format, and reads one as a fixed number of small RGB frames."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from trainables.datasets.clip_names import natural

Frames = NDArray[np.uint8]
"""RGB, [F, H, W, 3] or one [H, W, 3]."""
Crop = tuple[int, int, int, int]

VIDEO_FORMATS = {".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".avi": "avi", ".mkv": "matroska", ".webm": "matroska"}
"""Suffix to FFmpeg's container format. Left to guess, FFmpeg also follows playlists to other files and hosts."""
LONGEST = 1000
"""Frames in a clip; what is longer is surely not a clip of a few seconds."""
LARGEST = 1 << 25
"""Pixels of a frame (8K has them): a file of a few bytes may promise billions, which are refused before decoding."""
_MOST_BYTES = 1 << 32
"""Of all frames of one clip, as they are kept."""


class ClipError(ValueError):
    """A clip cannot be used; the message says why."""


def is_clip(path: Path) -> bool:
    """Tell whether `path` looks like a clip: a GIF, a video, or a folder of PNG."""
    if path.is_dir():
        return any(path.glob("*.png"))
    return path.suffix.lower() in (".gif", *VIDEO_FORMATS)


def files(path: Path) -> list[Path]:
    """Return the files that make up the clip `path`, in the order of their frames."""
    return sorted(path.glob("*.png"), key=lambda file: natural(file.name)) if path.is_dir() else [path]


def read_clip(path: Path, *, frames: int, resolution: int, crop: Crop | None = None) -> Frames:
    """Read `frames` evenly spaced frames, the first and the last among them, uint8 [frames, resolution, resolution, 3].

    A clip with fewer frames shows some twice. `crop` is top, bottom, left, right in pixels; what remains is resized
    without keeping its proportions.

    Raises:
        ClipError: It cannot be decoded, ends early, has one frame or over `LONGEST`, or is smaller than `crop`.
    """
    seen, _ = decode(path, lambda picture, _: _fit(picture, resolution, crop), missing=0.1)
    if len(seen) < 2:
        raise ClipError(f"{len(seen)} frame(s), but a clip needs at least two")
    chosen = np.linspace(0, len(seen) - 1, frames).round().astype(int)
    return np.stack([seen[index] for index in chosen])


def _fit(picture: Image.Image, resolution: int, crop: Crop | None) -> Frames:
    picture = picture.convert("RGB")
    if crop is not None:
        top, bottom, left, right = crop
        if bottom > picture.height or right > picture.width:
            raise ClipError(f"frames of {picture.height} x {picture.width} pixels are smaller than crop {list(crop)}")
        picture = picture.crop((left, top, right, bottom))
    return np.asarray(picture.resize((resolution, resolution), Image.Resampling.BICUBIC))


def decode(
    path: Path, keep: Callable[[Image.Image, int], Frames], *, missing: float = 0.0
) -> tuple[list[Frames], float | None]:
    """Return what `keep` makes of every frame that `path` shows, and its length in seconds if the file tells it.

    The only decoder of GIF, video and folders of PNG. Neighbouring frames that the writer of a GIF merged into one
    long frame are there again.

    Args:
        path: of a clip, as `is_clip` has it.
        keep: takes a picture as it lies in the file (palette and alpha included) and its index; nothing else of the
            picture stays in memory. Pictures over `LARGEST` pixels are refused before that.
        missing: share of the frames a video's header promises that may be absent, as where an edit list hides some.

    Raises:
        ClipError: it cannot be decoded, ends early, or is too large (`LONGEST`, `LARGEST`, 4 GiB in all).
    """
    kept: list[Frames] = []
    times: list[Fraction] = []
    try:
        for picture, time in _pictures(path, missing):
            kept.append(keep(picture, len(kept)))
            times.append(time)
            if len(kept) * kept[-1].nbytes > _MOST_BYTES:
                raise ClipError(f"more than {_MOST_BYTES >> 30} GiB of pixels; cut it, or make it smaller")
            if len(kept) > LONGEST:
                raise ClipError(f"more than {LONGEST} frames; cut it into clips of about two seconds")
    except ClipError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged input
        raise ClipError(f"cannot be decoded after {len(kept)} frame(s): {type(error).__name__}: {error}") from error
    return _unmerged(kept, times), float(sum(times)) if any(times) else None


def _unmerged(frames: list[Frames], times: list[Fraction]) -> list[Frames]:
    """Repeat frames that are shown longer than others: writers of GIF merge equal neighbours into one long frame."""
    milliseconds = [round(1000 * time) for time in times]
    unit = gcd(*milliseconds)
    if unit == 0 or len(set(times)) == 1:
        return frames
    if sum(milliseconds) // unit > LONGEST:
        raise ClipError(f"its frames last {min(milliseconds)} to {max(milliseconds)} ms; an even frame rate is needed")
    return [frame for frame, time in zip(frames, milliseconds, strict=True) for _ in range(max(1, time // unit))]


def _pictures(path: Path, missing: float) -> Iterator[tuple[Image.Image, Fraction]]:
    """Yield each picture as it lies in the file, and for how many seconds it is shown; 0 if the file does not say."""
    if path.suffix.lower() in VIDEO_FORMATS and not path.is_dir():
        yield from _video(path, missing)
    elif path.is_dir():
        for file in files(path):
            with Image.open(file, formats=["PNG"]) as picture:
                _check_size(*picture.size)
                yield picture, Fraction(0)
    elif not path.read_bytes().rstrip(b"\0").endswith(b";"):
        raise ClipError("ends before its trailer: truncated, or no GIF")
    else:
        with Image.open(path, formats=["GIF"]) as animation:
            _check_size(*animation.size)
            for shown in ImageSequence.Iterator(animation):
                yield shown, Fraction(round(shown.info.get("duration", 0)), 1000)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise ClipError(f"frames of {height} x {width} pixels; {LARGEST:,} pixels are the most that are read")


def _video(path: Path, missing: float) -> Iterator[tuple[Image.Image, Fraction]]:
    import av  # here, so that the command line starts without FFmpeg

    with av.open(str(path), format=VIDEO_FORMATS[path.suffix.lower()]) as container:
        if not container.streams.video:
            raise ClipError("has no video stream")
        stream = container.streams.video[0]
        _check_size(stream.codec_context.width, stream.codec_context.height)
        time = 1 / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
        count = 0
        for frame in container.decode(stream):
            count += 1
            yield Image.fromarray(frame.to_ndarray(format="rgb24")), time
        if count < (1 - missing) * stream.frames:
            raise ClipError(f"{count} of {stream.frames} frames can be decoded: truncated or damaged")
