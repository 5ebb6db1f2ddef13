"""Yields every picture of a GIF, a video or a folder of PNG: upright, opaque, 8-bit RGB, with its time.

This is the only decoder of clips. All formats have the same rules: one size, no transparent pixels, a complete file.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import ClipError
from trainables.datasets.video_frames import VIDEO_FORMATS, TimedPicture, check_size, video_pictures

_PAUSE = Fraction(2)
"""Seconds from which the last frame of a GIF counts as a pause before it starts again, and not as merged frames."""


def is_clip(path: Path) -> bool:
    """Return whether `path` looks like a clip: a GIF, a video, or a folder of PNG."""
    if path.is_dir():
        return bool(png_files(path))
    return path.suffix.lower() in (".gif", *VIDEO_FORMATS)


def png_files(folder: Path) -> list[Path]:
    """Return the PNG files of a folder in natural order; hidden ones, such as those of macOS, are left out."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".png" and not file.name.startswith(".")]
    return sorted(files, key=lambda file: natural(file.name))


def time_rounding(path: Path) -> Fraction:
    """Return by how many seconds frame times may be rounded: GIF counts in hundredths, Matroska in thousandths."""
    return Fraction(1, 100 if path.suffix.lower() == ".gif" else 1000)


def pictures(path: Path) -> Iterator[TimedPicture]:
    """Yield all pictures of a clip, as `is_clip` has it.

    Raises:
        ClipError: It cannot be decoded, ends early, has no pictures, very large pictures, pictures of several
            sizes, or transparent pixels.
    """
    yield from _checked(lambda: _raw_pictures(path))


def pattern_pictures(source: str) -> Iterator[TimedPicture]:
    """Yield the pictures of a source filter of FFmpeg, such as `testsrc2=size=64x64`, without end."""
    yield from _checked(lambda: video_pictures(source, "lavfi"))


def _checked(open_pictures: Callable[[], Iterator[TimedPicture]]) -> Iterator[TimedPicture]:
    count, size = 0, (0, 0)
    try:
        for picture, seconds in open_pictures():
            size = picture.size if count == 0 else size
            if picture.size != size:
                sizes = sorted((height, width) for width, height in (size, picture.size))
                raise ClipError(f"its frames differ in size: {sizes} (frame {count})")
            yield _opaque_rgb(picture, count), seconds
            count += 1
    except ClipError:
        raise
    except Exception as error:  # decoders may raise any exception on damaged input
        raise ClipError(f"cannot be decoded after {count} frame(s): {type(error).__name__}: {error}") from error
    if count == 0:
        raise ClipError("has no frames")


def _raw_pictures(path: Path) -> Iterator[TimedPicture]:
    """Yield each picture as it lies in the file (palette and alpha included), and its seconds."""
    if path.is_dir():
        yield from _folder(path)
    elif path.suffix.lower() in VIDEO_FORMATS:
        yield from video_pictures(str(path), VIDEO_FORMATS[path.suffix.lower()])
    else:
        yield from _gif(path)


def _opaque_rgb(picture: Image.Image, index: int) -> Image.Image:
    """Return a picture in 8-bit RGB. Raises `ClipError` if it has transparent pixels."""
    if picture.mode.startswith("I"):  # 16-bit grey; of 16-bit colours Pillow, too, takes the higher byte
        grey = np.asarray(picture)
        if np.any(grey == picture.info.get("transparency", -1)):
            raise _transparent(index)
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise _transparent(index)
    return picture.convert("RGB")


def _transparent(index: int) -> ClipError:
    return ClipError(f"frame {index} has transparent pixels; put it on a background first")


def _folder(path: Path) -> Iterator[TimedPicture]:
    for file in png_files(path):
        with Image.open(file, formats=["PNG"]) as picture:
            check_size(*picture.size)
            yield ImageOps.exif_transpose(picture), Fraction(0)


def _gif(path: Path) -> Iterator[TimedPicture]:
    if not path.read_bytes().rstrip(b"\0").endswith(b";"):
        raise ClipError("ends before its trailer: truncated, or no GIF")
    with Image.open(path, formats=["GIF"]) as animation:
        check_size(*animation.size)
        last = getattr(animation, "n_frames", 1) - 1
        times: list[Fraction] = []
        for index, picture in enumerate(ImageSequence.Iterator(animation)):
            time = Fraction(round(picture.info.get("duration", 0)), 1000)
            yield picture, min(time, median(times)) if index == last and times and time >= _PAUSE else time
            times.append(time)
