"""Cuts videos into short clips, each a folder of PNG, with captions: what `dataset.kind: folder` reads."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.errors import ClipError, DatasetError
from trainables.datasets.phantom.drives import CHANNEL_SHAPES, MOTION_DIRECTIONS, drives
from trainables.datasets.pictures import pattern_pictures, pictures
from trainables.datasets.video_frames import VIDEO_FORMATS, TimedPicture
from trainables.preparation.options import CutOptions

ClipPixels = NDArray[np.uint8]

_WAYS = ("right", "up and right", "up", "up and left", "left", "down and left", "down", "down and right")
_HUES = ("red", "orange", "yellow", "green", "green", "cyan", "blue", "blue", "purple", "pink")


def cut_videos(videos: Sequence[str], out: Path, options: CutOptions) -> dict[str, str]:
    """Cut `videos` into clips, write them, and return their captions by name.

    A video is a file, or `lavfi:SOURCE`, a moving pattern that FFmpeg generates. An incomplete clip at the end of a
    video, clips without any change, and exact copies of earlier clips are left out.

    Raises:
        DatasetError: A video cannot be read, no video is long enough, or `out` is not empty or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"--out: {out} must be a new or empty folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=out.parent
        ) as scratch:  # so that a failure leaves no folder that looks complete
            captions = _cut_into(Path(scratch) / "cut", videos, options)
            (Path(scratch) / "cut").replace(out)
    except OSError as error:
        raise DatasetError(f"--out: {out} cannot be written: {error}") from error
    return captions


def _cut_into(folder: Path, videos: Sequence[str], options: CutOptions) -> dict[str, str]:
    captions: dict[str, str] = {}
    digests: set[bytes] = set()
    for number, video in enumerate(videos):
        name = video.removeprefix("lavfi:").partition("=")[0] if video.startswith("lavfi:") else Path(video).stem
        for index, clip in enumerate(islice(_clips(video, options), options.most)):
            digest = hashlib.sha256(clip.tobytes()).digest()
            if digest in digests or (clip == clip[0]).all():
                continue
            digests.add(digest)
            key = f"{number:02d}_{name}_{index:04d}"
            (folder / "clips" / key).mkdir(parents=True)
            for frame, pixels in enumerate(clip):
                Image.fromarray(pixels).save(folder / "clips" / key / f"{frame:03d}.png")
            captions[key] = f"{name.replace('_', ' ')}, {describe_motion(clip)}"
    if not captions:
        raise DatasetError(f"no video has a clip of {options.seconds} s with motion: {', '.join(videos)}")
    (folder / "captions.json").write_text(json.dumps(captions, indent=1))
    return captions


def describe_motion(clip: ClipPixels) -> str:
    """Return brightness, colour and motion of uint8 [F,H,W,3] in words, such as "dark blue, moving left"."""
    red, green, blue = (clip.reshape(-1, 3).mean(axis=0) / 255).tolist()
    value, spread = max(red, green, blue), max(red, green, blue) - min(red, green, blue)
    angle = math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue) / math.tau % 1.0
    colour = "grey" if spread < 0.08 else _HUES[round(angle * len(_HUES)) % len(_HUES)]
    light = "dark" if value < 0.35 else "bright" if value > 0.65 else "medium"
    cells, channels = CHANNEL_SHAPES["motion"]
    responses = (
        drives(clip[None], [""])["motion"]
        .reshape(cells**2, MOTION_DIRECTIONS, channels // MOTION_DIRECTIONS)
        .mean(axis=0)
    )
    ways = responses.sum(axis=1)
    if ways.max() < 0.005:
        return f"{light} {colour}, still"
    clear = ways.max() > 1.5 * np.median(ways)
    return f"{light} {colour}, moving {_WAYS[int(ways.argmax())] if clear else 'about'}"


def _clips(video: str, options: CutOptions) -> Iterator[ClipPixels]:
    """Yield the clips of a video, uint8 [frames, side, side, 3], in their order."""
    frames: list[ClipPixels] = []
    count, end = 0, Fraction(0)
    for picture, seconds in _pictures(video):
        end += seconds
        while count * options.seconds / options.frames < float(end) - 1e-6:  # the frame that is shown at that time
            count += 1
            frames.append(
                np.asarray(picture.resize((options.resolution, options.resolution), Image.Resampling.BICUBIC))
            )
            if len(frames) == options.frames:
                yield np.stack(frames)
                frames = []


def _pictures(video: str) -> Iterator[TimedPicture]:
    """Yield every picture of a video and for how many seconds it is shown. Raises `DatasetError`."""
    source = video.removeprefix("lavfi:")
    if source == video and Path(video).suffix.lower() not in (".gif", *VIDEO_FORMATS):
        raise DatasetError(f"{video}: must end in {', '.join((*VIDEO_FORMATS, '.gif'))}, or begin with lavfi:")
    try:
        yield from pictures(Path(video)) if source == video else pattern_pictures(source)
    except ClipError as error:
        raise DatasetError(f"{video}: cannot be read: {error}") from error
