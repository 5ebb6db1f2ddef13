"""Videos whose names begin with a number of four digits: those of BOLD Moments and of Algonauts 2021, 3 s each."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.source import SourceClip
from trainables.datasets.prepared.tables import Split
from trainables.datasets.video_frames import VIDEO_FORMATS
from trainables.preparation.caption_files import Captions
from trainables.preparation.clip_files import read_square_clip
from trainables.preparation.files import InputError
from trainables.preparation.films import Film, open_film
from trainables.preparation.options import ReaderOptions

LAST_TRAINING = 1000
"""Clips up to this number are for training, those after it for the test."""
_CLIPS = 1102
_SECONDS, _TOLERANCE = 3.0, 0.25
_NAME = re.compile(r"(\d{4})(?:_.*)?")


def find_numbered_videos(folder: Path, *, right: str) -> dict[str, Path]:
    """Return the videos in `folder` and in its folders, by their number, in order.

    Raises:
        DatasetError: There is none, or two have one number; `right` says where to get them.
    """
    if not folder.is_dir():
        raise DatasetError.of(DataProblem(str(folder), "there is no such folder", right))
    videos: dict[str, Path] = {}
    for path in sorted((*folder.glob("*.*"), *folder.glob("*/*.*")), key=lambda path: natural(path.name)):
        match = _NAME.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in VIDEO_FORMATS:
            continue
        if match[1] in videos:
            what = f"has {videos[match[1]].name} and {path.relative_to(folder)}"
            raise DatasetError.of(DataProblem(str(folder), what, "each number must be one video: keep one of them"))
        videos[match[1]] = path
    if not videos:
        raise DatasetError.of(DataProblem(str(folder), "has no video such as 0001.mp4", right))
    return videos


def open_videos(videos: Mapping[str, Path], folder: Path) -> tuple[dict[str, Film], list[DataProblem]]:
    """Read the header of each video, and return warnings about their number and length.

    Raises:
        DatasetError: Some cannot be read; the message lists them all.
    """
    films, problems = {}, []
    for number, path in videos.items():
        try:
            films[number] = open_film(path)
        except InputError as error:
            problems.append(error.problem)
    DataReport(tuple(problems)).raise_for_errors()
    return films, [*_count_warning(films, folder), *_length_warning(films, folder)]


def _count_warning(films: Mapping[str, Film], folder: Path) -> Iterator[DataProblem]:
    if len(films) != _CLIPS:
        what = f"has {len(films)} videos, but {_CLIPS} are published"
        yield DataProblem(str(folder), what, "only clips with a video are prepared", fatal=False)


def _length_warning(films: Mapping[str, Film], folder: Path) -> Iterator[DataProblem]:
    odd = [f"{number} ({film.seconds:.1f} s)" for number, film in films.items() if _is_odd(film)]
    if odd:
        what = f"{len(odd)} video(s) do not last {_SECONDS:g} s: {some(odd)}"
        yield DataProblem(str(folder), what, "check that they are the videos that were shown", fatal=False)


def _is_odd(film: Film) -> bool:
    return abs(film.seconds - _SECONDS) > _TOLERANCE


def numbers_for_training(numbers: Sequence[str] | Mapping[str, object]) -> tuple[str, ...]:
    """Return the clips for training."""
    return tuple(number for number in numbers if int(number) <= LAST_TRAINING)


def numbers_for_test(numbers: Sequence[str] | Mapping[str, object]) -> tuple[str, ...]:
    """Return the clips for the test."""
    return tuple(number for number in numbers if int(number) > LAST_TRAINING)


def drawn_by_hash(names: Sequence[str], fraction: float) -> frozenset[str]:
    """Return the share of `names` that comes first when they are sorted by their hash."""
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return frozenset(order[: round(fraction * len(names))])


def numbered_clips(
    films: Mapping[str, Film],
    captions: Captions,
    split: Mapping[str, Split],
    options: ReaderOptions,
    notes: Mapping[str, str] | None = None,
) -> Iterator[SourceClip]:
    """Yield the clips; each is a block of its own, since no two are neighbours in a film."""
    read = partial(read_square_clip, frames=options.frames, side=options.resolution, fit=options.fit)
    for block, (number, film) in enumerate(films.items()):
        yield SourceClip(
            clip_id=number,
            read=partial(read, film.path),
            captions=captions[number],
            file=str(film.path),
            fps=options.frames / film.seconds if film.seconds > 0 else None,
            split=split[number],
            block=block,
            note="" if notes is None else notes.get(number, ""),
        )
