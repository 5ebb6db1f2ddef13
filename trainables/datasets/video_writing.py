"""Writes videos in the forms that `video_io.read_video` reads back."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.datasets.clips import Frames

FRAME_SECONDS = 0.25
"""How long GIF and MP4 show each frame: clips do not say how long they last."""


def _npy(frames: Frames, path: Path) -> None:
    np.save(path.with_name(f"{path.name}.npy"), frames, allow_pickle=False)


def _png(frames: Frames, path: Path) -> None:
    path.mkdir()
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(path / f"{number:04d}.png")


def _gif(frames: Frames, path: Path) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    duration = round(1000 * FRAME_SECONDS)
    first.save(path.with_name(f"{path.name}.gif"), save_all=True, append_images=others, duration=duration, loop=0)


def _mp4(frames: Frames, path: Path) -> None:
    import av  # here, so that the command line starts without FFmpeg

    with av.open(str(path.with_name(f"{path.name}.mp4")), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(1 / FRAME_SECONDS), options={"crf": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"  # colour at full resolution
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


VIDEO_FORMS: Mapping[str, Callable[[Frames, Path], None]] = {"npy": _npy, "png": _png, "gif": _gif, "mp4": _mp4}
"""A form to the function that writes frames [F, H, W, 3] under a path without suffix; the first two lose nothing."""
