"""Warnings about videos that do not last as long as they were shown, or as long as the others: they may be cut off."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from trainables.datasets.errors import DataProblem, some
from trainables.datasets.video_frames import VIDEO_FORMATS
from trainables.preparation.files import InputError
from trainables.preparation.films import open_film

_SHARE, _LEAST_S = 0.1, 0.05
"""By how much a video may be longer or shorter: a share of its length, and seconds more."""
_RIGHT = "check that they are the videos that were shown, and whole"


def shown_for_other_times(
    files: Mapping[str, Path], seconds: Mapping[str, float], where: Path
) -> Iterator[DataProblem]:
    """Yield a warning about the videos in `files` that do not last as long as their events, `seconds` by name.

    Files without a length, such as images, are passed over.
    """
    lengths = _lengths(files)
    odd = [
        f"{name} ({length:g} s, shown for {seconds[name]:g} s)"
        for name, length in lengths.items()
        if name in seconds and _differs(length, seconds[name])
    ]
    if odd:
        what = f"{len(odd)} video(s) do not last as long as their events: {some(odd, most=5)}"
        yield DataProblem(str(where), what, _RIGHT, fatal=False)


def of_other_length(files: Mapping[str, Path], where: Path) -> Iterator[DataProblem]:
    """Yield a warning about the videos in `files`, by name, that do not last as long as most of them."""
    lengths = _lengths(files)
    usual = median(lengths.values()) if lengths else 0.0
    odd = [f"{name} ({length:g} s)" for name, length in lengths.items() if _differs(length, usual)]
    if odd:
        what = f"{len(odd)} video(s) do not last {usual:g} s, as most do: {some(odd, most=5)}"
        yield DataProblem(str(where), what, _RIGHT, fatal=False)


def _lengths(files: Mapping[str, Path]) -> dict[str, float]:
    """Return seconds by name, of the files that are videos. Damaged ones are reported when they are read."""
    found = {}
    for name, path in files.items():
        if path.suffix.lower() in VIDEO_FORMATS:
            try:
                found[name] = open_film(path).seconds
            except InputError:
                continue
    return {name: seconds for name, seconds in found.items() if seconds > 0}


def _differs(seconds: float, expected: float) -> bool:
    return abs(seconds - expected) > _SHARE * expected + _LEAST_S
