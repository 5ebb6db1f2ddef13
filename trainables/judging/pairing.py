"""Finds the videos of several systems in their folders, pairs them with the truth, and settles on one size for all."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storage.names import question
from trainables.datasets.clip_names import clip_name
from trainables.datasets.clips import clips_in
from trainables.datasets.errors import ClipError
from trainables.datasets.video_io import read_video, split_pair
from trainables.metrics.pixels import WINDOW

_ASPECT_TOLERANCE = 0.01
"""Relative difference of aspect ratios up to which a video is resized. More would stretch what it shows."""
_LENGTH_TOLERANCE = 0.05
"""Relative difference of durations that file formats cause by rounding."""


def has_aspect_of(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two sizes, height and width each, have the same aspect ratio."""
    return abs(size[1] * other[0] / (size[0] * other[1]) - 1) <= _ASPECT_TOLERANCE


def lasts_other_than(seconds: float | None, usual: float | None) -> bool:
    """Return whether two durations differ; False if one is not known."""
    return seconds is not None and usual is not None and abs(seconds - usual) > _LENGTH_TOLERANCE * usual


class PairingError(ValueError):
    """There is nothing to judge under this request; the message says why."""


@dataclass(frozen=True)
class Failure:
    """Something that is wrong with one file."""

    system: str
    clip: str
    file: str
    reason: str
    evaluated: bool
    """Whether its values stand in the tables all the same."""


@dataclass(frozen=True)
class VideoFile:
    """One readable video."""

    path: Path
    frames: int
    size: tuple[int, int]
    """Height and width of one half if it shows truth and reconstruction side by side."""
    seconds: float | None
    side_by_side: bool


@dataclass(frozen=True)
class System:
    """One folder of videos, by name without extension."""

    name: str
    folder: Path
    clips: Mapping[str, VideoFile]
    failures: tuple[Failure, ...] = ()

    @property
    def native(self) -> tuple[tuple[int, int], int]:
        """The most frequent size and the most frequent frame count."""
        sizes = Counter(video.size for video in self.clips.values())
        counts = Counter(video.frames for video in self.clips.values())
        return sizes.most_common(1)[0][0], counts.most_common(1)[0][0]


@dataclass(frozen=True)
class Pairing:
    """Who is judged, on which clips, at which size."""

    systems: tuple[System, ...]
    truths: Mapping[str, VideoFile]
    size: tuple[int, int]
    frames: int
    failures: tuple[Failure, ...] = ()
    """What was wrong with files before any was judged."""


def find_videos(name: str, folder: Path) -> System:
    """Read every video of `folder` once, to learn its size and whether it is whole.

    Raises:
        PairingError: there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise PairingError(f"{folder}: there is no such folder")
    paths = clips_in(folder, arrays=True)
    if not paths:
        raise PairingError(
            f"{folder}: holds no video; GIF, MP4, folders of PNG or .npy [frames, height, width, 3] are needed"
        )
    twice = {stem for stem, count in Counter(clip_name(path) for path in paths).items() if count > 1}
    clips: dict[str, VideoFile] = {}
    failures = []
    for path in paths:
        try:
            if clip_name(path) in twice:
                raise ClipError("several files have this name; keep one")
            clips[clip_name(path)] = _inspect(path)
        except ClipError as error:
            failures.append(Failure(name, clip_name(path), str(path), str(error), False))
    return System(name, folder, clips, tuple(failures))


def _inspect(path: Path) -> VideoFile:
    video = read_video(path)
    halves = split_pair(video.frames)
    shown = halves[1] if halves is not None else video.frames
    height, width = shown.shape[1:3]
    return VideoFile(path, len(shown), (height, width), video.seconds, halves is not None)


def pair_videos(
    systems: Sequence[System], truth: System | None, *, size: tuple[int, int] | None, frames: int | None
) -> Pairing:
    """Pair reconstructions with truths, and choose one size and frame count for all.

    Where they are not given, they are the smallest of the folders' most frequent native ones: nobody's frames are
    enlarged, and one odd file decides nothing.

    Raises:
        PairingError: no reconstruction has a truth, or the frames are too small for SSIM.
    """
    truths = dict(truth.clips) if truth is not None else _left_halves(systems)
    everyone = (*systems, truth) if truth is not None else tuple(systems)
    readable = [system.native for system in everyone if system.clips]
    if not any(set(system.clips) & set(truths) for system in systems):
        raise PairingError(_no_pair(systems, truth))
    chosen = size if size is not None else min((native[0] for native in readable), key=lambda s: s[0] * s[1])
    count = frames if frames is not None else min(native[1] for native in readable)
    if min(chosen) < WINDOW:
        raise PairingError(
            f"--resolution: {chosen[0]}x{chosen[1]} is too small; SSIM needs {WINDOW}x{WINDOW} pixels or more"
        )
    failures = tuple(failure for system in everyone for failure in system.failures)
    pairing = Pairing(tuple(systems), truths, chosen, count, failures)
    return replace(pairing, failures=(*failures, *_unpaired(pairing, truth)))


def _left_halves(systems: Sequence[System]) -> dict[str, VideoFile]:
    truths: dict[str, VideoFile] = {}
    for system in systems:
        for name, found in system.clips.items():
            if found.side_by_side:
                truths.setdefault(name, found)
    return truths


def _no_pair(systems: Sequence[System], truth: System | None) -> str:
    where = ", ".join(str(system.folder) for system in systems)
    if truth is None:
        return f"{where}: no video shows truth and reconstruction side by side with black padding; give --truth FOLDER"
    here, there = (min(system.clips, default="nothing readable") for system in (systems[0], truth))
    return f"{where}: pairs have one name, but none here is in {truth.folder}; first here: {here}, there: {there}"


def _unpaired(pairing: Pairing, truth: System | None) -> Iterator[Failure]:
    shared = truth is not None or bool(set.intersection(*(set(system.clips) for system in pairing.systems)))
    names = {name for system in pairing.systems for name in system.clips} if truth is None else set(pairing.truths)
    no_truth = "there is no truth of this name"
    if truth is None:
        no_truth = (
            "does not show truth and reconstruction side by side with black padding, and no other video has its truth"
        )
    for system in pairing.systems:
        broken = {failure.clip for failure in system.failures}
        for name in sorted(set(system.clips) - set(pairing.truths)):
            asked = question(name, pairing.truths) if truth is not None else ""
            reason = f"{no_truth}; {asked}" if asked else no_truth
            yield Failure(system.name, name, str(system.clips[name].path), reason, False)
        for name in sorted((names if shared else set()) - set(system.clips) - broken):
            yield Failure(system.name, name, str(system.folder), "there is no reconstruction of this name", False)
