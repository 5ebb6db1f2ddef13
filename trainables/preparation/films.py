"""Reads clips out of long films, by time, without cutting the films into files first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.datasets.clips import Frames
from trainables.datasets.errors import ClipError
from trainables.datasets.video_frames import VIDEO_FORMATS, frame_picture, video_stream
from trainables.preparation.clip_files import Fit, square_picture
from trainables.preparation.files import InputError, require_content

_RIGHT = f"a film must be {', '.join(VIDEO_FORMATS)}"


@dataclass(frozen=True)
class Film:
    """A film, as its header describes it."""

    path: Path
    seconds: float
    fps: float


@dataclass(frozen=True)
class FilmPicture:
    """Number and size of the frames, and how they become square."""

    frames: int
    side: int
    fit: Fit


def open_film(path: Path) -> Film:
    """Read the header of a film.

    Raises:
        InputError: It is missing, of another format, or its length is unknown.
    """
    require_content(path)
    if path.suffix.lower() not in VIDEO_FORMATS:
        raise InputError(path, f"ends in {path.suffix!r}", _RIGHT)
    import av  # here, so that options are checked before FFmpeg is loaded

    try:
        with av.open(str(path), format=VIDEO_FORMATS[path.suffix.lower()]) as container:
            stream: Any = video_stream(container)
            rate = stream.average_rate
            in_container = float(container.duration or 0) * 1e-6
            seconds = float(stream.duration * stream.time_base) if stream.duration else in_container
            return Film(path, seconds, float(rate))
    except Exception as error:  # decoders may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {type(error).__name__}: {error}", _RIGHT) from error


def read_from_film(film: Film, start_s: float, end_s: float, picture: FilmPicture) -> Frames:
    """Return evenly spaced frames of `[start_s, end_s)`, from the first to the last, uint8 [F, side, side, 3].

    Decoding begins at the nearest key frame before.

    Raises:
        ClipError: It cannot be decoded, or the film ends before.
    """
    from av.video.reformatter import VideoReformatter  # here, so that the command line starts without FFmpeg

    try:
        shown = _frames(film, start_s, end_s)
    except Exception as error:
        raise ClipError(f"cannot be decoded at {start_s:g} s: {type(error).__name__}: {error}") from error
    expected = (end_s - start_s) * film.fps
    if len(shown) < max(2, 0.9 * expected):
        what = f"{len(shown)} of {expected:.0f} frames from {start_s:g} to {end_s:g} s: it ends before or is damaged"
        raise ClipError(what)
    chosen = np.linspace(0, len(shown) - 1, picture.frames).round().astype(int)
    converter = VideoReformatter()
    images = [frame_picture(shown[index], converter).convert("RGB") for index in chosen]
    return np.stack([square_picture(image, side=picture.side, fit=picture.fit) for image in images])


def _frames(film: Film, start_s: float, end_s: float) -> list[Any]:
    import av

    half = 0.5 / film.fps  # time stamps are rounded
    with av.open(str(film.path), format=VIDEO_FORMATS[film.path.suffix.lower()]) as container:
        stream: Any = video_stream(container)
        first = float((stream.start_time or 0) * stream.time_base)
        container.seek(max(0, int((start_s - half + first) / stream.time_base)), stream=stream)
        shown = []
        for frame in container.decode(stream):
            time = float(frame.pts * stream.time_base) - first
            if time >= end_s - half:
                break
            if time >= start_s - half:
                shown.append(frame)
    return shown
