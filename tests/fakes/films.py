"""Writes films whose motion and colour are known, clip by clip."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_film(
    path: Path,
    speeds: Sequence[float],
    *,
    clip_s: float = 2.0,
    fps: int = 30,
    size: tuple[int, int] = (48, 64),
    first_pattern: int = 0,
) -> Path:
    """Write one clip after another: a bright bar moves over a pattern of its own by `speed` pixels per frame."""
    count = round(clip_s * fps)
    clips = (clip_frames(clip, speed, count, size) for clip, speed in enumerate(speeds, first_pattern))
    return write_frames(path, (frame for clip in clips for frame in clip), fps=fps, size=size)


def write_frames(path: Path, frames: Iterable[NDArray[np.uint8]], *, fps: int, size: tuple[int, int]) -> Path:
    """Write a film of frames [H, W, 3]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def clip_frames(clip: int, speed: float, count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the frames of one clip, [count, H, W, 3]."""
    rng = np.random.default_rng([5, clip])
    coarse = rng.integers(40, 120, (size[0] // 8, size[1] // 8, 3), np.uint8)
    ground = coarse.repeat(8, axis=0).repeat(8, axis=1)
    frames = np.repeat(ground[None], count, axis=0)
    for index in range(count):
        left = int(speed * index) % (size[1] - 12)
        frames[index, :, left : left + 12] = 230
    return frames
