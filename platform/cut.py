"""`python -m platform.cut VIDEO... --out FOLDER`: cuts videos into short clips for `dataset: {kind: folder}`."""

import argparse
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platform.cli import Answer, VerbParser, run_verb, verb_parser
from platform.errors import UserError
from trainables.datasets.errors import ClipError
from trainables.datasets.phantom.drives import CHANNEL_SHAPES, MOTION_DIRECTIONS, drives
from trainables.datasets.pictures import pattern_pictures, pictures
from trainables.datasets.video_frames import VIDEO_FORMATS, TimedPicture

ClipPixels = NDArray[np.uint8]

_WAYS = ("right", "up and right", "up", "up and left", "left", "down and left", "down", "down and right")
_HUES = ("red", "orange", "yellow", "green", "green", "cyan", "blue", "blue", "purple", "pink")


_DESCRIPTION = """\
Cut videos into short clips for a data set of kind folder. FOLDER gets clips/ with a folder of PNG per clip, and
captions.json.

A caption is the name of the video and a description of its pixels: brightness, colour and motion. Replace it by a
better one if you can. VIDEO may also be lavfi:SOURCE, a moving pattern that FFmpeg generates, such as
lavfi:mandelbrot=size=128x128."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("cut", _DESCRIPTION)
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a new or empty folder")
    add("--seconds", type=_positive, default=2.0, metavar="S", help="length of a clip (default: 2)")
    add("--frames", type=int, default=8, choices=range(2, 65), metavar="N", help="frames per clip (default: 8)")
    side = "side of the clips in pixels (default: 64)"
    add("--side", type=int, default=64, choices=range(32, 1025), metavar="N", help=side)
    most = "largest number of clips of a video (default: 200)"
    add("--most", type=int, default=200, choices=range(1, 100_001), metavar="N", help=most)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    shape = (arguments.frames, arguments.side)
    captions = cut(arguments.videos, arguments.out, shape=shape, seconds=arguments.seconds, most=arguments.most)
    value = {"folder": str(arguments.out), "clips": len(captions)}
    return Answer(value, f"{len(captions)} clips in {arguments.out}")


def cut(videos: Sequence[str], out: Path, *, shape: tuple[int, int], seconds: float, most: int) -> dict[str, str]:
    """Cut `videos` into clips of `seconds`, up to `most` of each; write them, and return their captions by name.

    `shape` is frames per clip and side in pixels; frames are scaled to squares. An incomplete clip at the end of a
    video, clips without any change, and exact copies of earlier clips are left out.

    Raises:
        UserError: A video cannot be read, no video is long enough, or `out` is not empty or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out: {out} must be a new or empty folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:  # a failure leaves no folder that looks complete
            captions = _cut_into(Path(scratch) / "cut", videos, _Form(*shape, seconds, most))
            (Path(scratch) / "cut").replace(out)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written: {error}") from error
    return captions


@dataclass(frozen=True)
class _Form:
    frames: int
    side: int
    seconds: float
    most: int


def _cut_into(folder: Path, videos: Sequence[str], form: _Form) -> dict[str, str]:
    captions: dict[str, str] = {}
    digests: set[bytes] = set()
    for number, video in enumerate(videos):
        name = video.removeprefix("lavfi:").partition("=")[0] if video.startswith("lavfi:") else Path(video).stem
        for index, clip in enumerate(islice(_clips(video, form), form.most)):
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
        raise UserError(f"no video has a clip of {form.seconds} s with motion: {', '.join(videos)}")
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
    answers = (
        drives(clip[None], [""])["motion"]
        .reshape(cells**2, MOTION_DIRECTIONS, channels // MOTION_DIRECTIONS)
        .mean(axis=0)
    )
    ways = answers.sum(axis=1)
    if ways.max() < 0.005:
        return f"{light} {colour}, still"
    clear = ways.max() > 1.5 * np.median(ways)
    return f"{light} {colour}, moving {_WAYS[int(ways.argmax())] if clear else 'about'}"


def _clips(video: str, form: _Form) -> Iterator[ClipPixels]:
    """Yield the clips of a video, uint8 [frames, side, side, 3], in their order."""
    frames: list[ClipPixels] = []
    count, end = 0, Fraction(0)
    for picture, seconds in _pictures(video):
        end += seconds
        while count * form.seconds / form.frames < float(end) - 1e-6:  # what is shown at that time
            count += 1
            frames.append(np.asarray(picture.resize((form.side, form.side), Image.Resampling.BICUBIC)))
            if len(frames) == form.frames:
                yield np.stack(frames)
                frames = []


def _pictures(video: str) -> Iterator[TimedPicture]:
    """Yield every picture of a video and for how many seconds it is shown. Raises `UserError`."""
    source = video.removeprefix("lavfi:")
    if source == video and Path(video).suffix.lower() not in (".gif", *VIDEO_FORMATS):
        raise UserError(f"{video}: must end in {', '.join((*VIDEO_FORMATS, '.gif'))}, or begin with lavfi:")
    try:
        yield from pictures(Path(video)) if source == video else pattern_pictures(source)
    except ClipError as error:
        raise UserError(f"{video}: cannot be read: {error}") from error


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, but got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
