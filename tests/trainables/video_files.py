"""Writes videos with PyAV, and changes their headers as cameras and editors do."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
CODECS = {".mp4": "libx264", ".mov": "mpeg4", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4"}
TURNS: dict[str, tuple[int, int, int, int]] = {
    "right": (0, 1, -1, 0),
    "left": (0, -1, 1, 0),
    "upside down": (-1, 0, 0, -1),
    "mirrored": (-1, 0, 0, 1),
}
"""Display matrices (a, b, c, d)."""


def blocks(count: int, *, height: int = 32, width: int = 48) -> Clip:
    """Frames of flat blocks, uint8 [count, height, width, 3], each unlike the others."""
    colours = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3))
    return colours.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def noise(count: int, side: int = 96) -> Clip:
    """Frames that no codec makes small."""
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_video(path: Path, frames: Clip, *, rate: int = 8, milliseconds: Sequence[int] | None = None) -> Path:
    """Write frames at a rate, or so that they begin at `milliseconds`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if stream.codec_context.name == "libx264" else "yuv420p"
        stream.bit_rate = 4_000_000
        if milliseconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Write a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def keep_share(path: Path, share: float) -> Path:
    """Cut a file to a share of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def turn(path: Path, matrix: Sequence[float]) -> Path:
    """Write a display matrix (a, b, c, d) into the track header of an MP4."""
    content = bytearray(path.read_bytes())
    offset = content.find(b"tkhd") + 44
    a, b, c, d = (round(value * 0x10000) for value in matrix)
    content[offset : offset + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    return path


def hide_first(path: Path, frames: int, *, rate: int = 8) -> Path:
    """Let the edit list of an MP4 begin some frames later."""
    with av.open(str(path)) as container:
        time_base = container.streams.video[0].time_base
        assert time_base is not None
        ticks = round(frames / rate / time_base)
    content = bytearray(path.read_bytes())
    offset = content.find(b"elst") + 12
    length, start = struct.unpack(">II", content[offset : offset + 8])
    content[offset : offset + 8] = struct.pack(">II", length - 1000 * frames // rate, start + ticks)
    path.write_bytes(content)
    return path
