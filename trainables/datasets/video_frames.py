"""Decodes video containers with FFmpeg: upright pictures with their own times; truncated files are refused."""

import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainables.datasets.errors import ClipError

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter

TimedPicture = tuple[Image.Image, Fraction]
"""A picture, and for how many seconds it is shown; 0 if unknown."""

VIDEO_FORMATS = {".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".avi": "avi", ".mkv": "matroska", ".webm": "matroska"}
"""Suffix to FFmpeg's container format. Without it, FFmpeg also follows playlists to other files and hosts."""
LARGEST = 1 << 25
"""Most pixels of a frame, those of 8K video. A header of a few bytes may claim billions: refused before decoding."""
_SHORTFALL = Fraction(1, 50)
"""Share of a video's length that may be missing at its end: headers are not always exact."""
_UPRIGHT: Mapping[tuple[int, ...], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""From the signs of a display matrix (a, b, c, d), which shows (x, y) at (a x + c y, b x + d y)."""


def check_size(width: int, height: int) -> None:
    """Raise `ClipError` if a frame has more than `LARGEST` pixels."""
    if width * height > LARGEST:
        raise ClipError(f"frames of {height} x {width} pixels; {LARGEST:,} pixels are the most that are read")


def video_pictures(source: str, form: str) -> Iterator[TimedPicture]:
    """Yield the pictures of a video, RGB or RGBA, each until the next one begins.

    Args:
        source: A file, or another input that FFmpeg opens in this format.
        form: FFmpeg's name of the container format.

    Raises:
        ClipError: It has no video, is truncated or damaged, or is to be shown at an angle.
    """
    import av  # here, so that the command line starts without FFmpeg
    from av.video.reformatter import VideoReformatter

    # One converter for all frames: a frame of its own would make one, nine tenths of the time of a small frame.
    converter = VideoReformatter()
    with av.open(source, format=form) as container:
        clock = _Clock(container, video_stream(container), form)
        frame: VideoFrame | None = None
        for following in clock.frames():
            if frame is not None:
                yield frame_picture(frame, converter), clock.previous_length
            frame = following
        if frame is not None:
            yield frame_picture(frame, converter), clock.last_length(frame)
        clock.check_end()


def video_stream(container: "InputContainer") -> "VideoStream":
    """Return the video of a container. Raises `ClipError` if there is none, or its frames are too large."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not streams:
        raise ClipError("has no video stream: sound only, or sound with a cover picture")
    check_size(streams[0].codec_context.width, streams[0].codec_context.height)
    return streams[0]


def frame_picture(frame: "VideoFrame", converter: "VideoReformatter") -> Image.Image:
    """Return a frame upright, RGB or RGBA. Raises `ClipError` if it is to be shown at an angle."""
    alpha = any(component.is_alpha for component in frame.format.components)
    picture = Image.fromarray(converter.reformat(frame, format="rgba" if alpha else "rgb24", threads=1).to_ndarray())
    turn = _turn(frame)
    return picture if turn is None else picture.transpose(turn)


def _turn(frame: "VideoFrame") -> Image.Transpose | None:
    """Return what makes a frame upright, by its display matrix. Raises `ClipError` for other than right angles."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data  # PyAV's types know motion vectors only
    if Type.DISPLAYMATRIX not in side_data:
        return None
    a, b, _, c, d = struct.unpack("=5i", bytes(side_data[Type.DISPLAYMATRIX])[:20])
    small = max(map(abs, (a, b, c, d))) / 100
    signs = tuple((value > small) - (value < -small) for value in (a, b, c, d))
    if signs not in _UPRIGHT:
        raise ClipError(f"its frames are to be turned by {frame.rotation} degrees; only right angles are read")
    return _UPRIGHT[signs]


class _Clock:
    """The times of a video's frames while they are read, in seconds."""

    def __init__(self, container: "InputContainer", stream: "VideoStream", form: str) -> None:
        self._container, self._stream, self._form = container, stream, form
        self._nominal = 1 / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
        self._count = 0
        self._start = self._first = self._end = self._packets_end = Fraction(0)
        self.previous_length = Fraction(0)
        """From the start of the frame before the latest one to that of the latest."""

    def frames(self) -> Iterator["VideoFrame"]:
        """Yield all frames of the video. Raises `ClipError` at a damaged one."""
        for packet in self._container.demux():
            self._note(packet)
            if packet.stream is self._stream:
                for frame in self._stream.decode(packet):
                    if frame.is_corrupt:
                        raise ClipError(f"frame {self._count} is damaged: the file is truncated or damaged")
                    self._advance(frame)
                    yield frame

    def _note(self, packet: "Packet[Any]") -> None:
        if packet.pts is not None and packet.time_base is not None:
            length = packet.duration if packet.duration is not None else 0
            self._packets_end = max(self._packets_end, (packet.pts + length) * packet.time_base)

    def _advance(self, frame: "VideoFrame") -> None:
        # AVI has no presentation times; those that FFmpeg guesses are out of order where a codec reorders frames.
        stamp = frame.dts if frame.pts is None or self._form == "avi" else frame.pts
        start = self._start + self._nominal if stamp is None or frame.time_base is None else stamp * frame.time_base
        if self._count == 0:
            self._first = self._start = start
        self.previous_length = max(Fraction(0), start - self._start)
        self._start = max(self._start, start)
        self._count += 1

    def last_length(self, frame: "VideoFrame") -> Fraction:
        """Return how long the last frame is shown, in multiples of the one before: its own time may be invented."""
        own = frame.duration * frame.time_base if frame.duration and frame.time_base is not None else Fraction(0)
        usual = self.previous_length if self._count > 1 else self._nominal
        length = max(1, round(own / usual)) * usual if usual > 0 else own
        self._end = self._start + max(length, own)
        return length

    @property
    def _mean_length(self) -> Fraction:
        return (self._start - self._first) / (self._count - 1) if self._count > 1 else self._nominal

    def check_end(self) -> None:
        """Raise `ClipError` if the video ends before its header says."""
        reached, promised = self._ends()
        missing = promised - reached
        if missing > max(_SHORTFALL * promised, Fraction(9, 10) * self._mean_length, Fraction(1, 50)):
            what = f"{float(missing):.2f} s of {float(promised):.2f} s are missing after {self._count} frame(s)"
            raise ClipError(f"{what}: truncated or damaged")

    def _ends(self) -> tuple[Fraction, Fraction]:
        """Return when the video ends, and when it should; 0 if its header does not say."""
        stream = self._stream
        if self._form == "matroska":  # has one duration for all streams together
            duration = self._container.duration
            return max(self._end, self._packets_end), Fraction(duration if duration is not None else 0, 1_000_000)
        if self._form == "avi":  # FFmpeg makes its duration fit the size of the file
            return self._end - self._first, stream.frames * self._nominal
        if stream.duration is None or stream.time_base is None:
            return self._end, Fraction(0)
        start = stream.start_time if stream.start_time is not None else 0
        return self._end, (start + stream.duration) * stream.time_base
