"""The clips of the HCP movie runs: where they lie in the films, their split, and captions by the second."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.blocks import assign_groups
from trainables.datasets.prepared.tables import Split
from trainables.preparation.caption_files import Captions, all_captions, h5_texts, merge_captions
from trainables.preparation.files import InputError
from trainables.preparation.hcp_facts import HcpDesign, MovieRun

MONTAGE = "montage"
_ROUNDING_S = 1e-3


@dataclass(frozen=True)
class ClipRule:
    """How films are cut and split."""

    seconds: int
    """Length of a clip."""
    described: bool
    """Only the seconds that the authors' captions describe."""
    montage: Literal["test", "exclude", "apart"]
    """`apart`: each showing has clips of its own, as if it were another film."""
    validation: float
    """Share of the clips of the films."""
    test: float
    """The same; used unless the montage is the test."""
    block_clips: int
    """Neighbours of the montage that are one block."""
    seed: int


@dataclass(frozen=True)
class FilmPart:
    """One clip of a film as it was shown in one run, or the montage there, which is cut into clips for decoding."""

    run: MovieRun
    name: str
    """Such as `movie1_2`; `montage` in every run."""
    first_s: int
    last_s: int
    seconds: int
    """Length of the clips."""

    @property
    def starts(self) -> range:
        """Seconds in the film at which clips begin."""
        return range(self.first_s, self.last_s - self.seconds + 1, self.seconds)

    @property
    def clips(self) -> list[str]:
        """Their names, such as `movie1_2_15`."""
        return [f"{self.name}_{number}" for number in range(1, len(self.starts) + 1)]


def parts_of_run(run: MovieRun, rule: ClipRule) -> list[FilmPart]:
    """Return the parts of the film of a run, in order; clips begin at whole seconds, as volumes do."""
    intervals = run.described if rule.described else run.clips
    names = [f"{run.name.lower()}_{number}" for number in range(1, len(intervals) + 1)]
    if rule.montage != "apart":
        names[-1] = MONTAGE
    return [
        FilmPart(run, name, math.ceil(start - _ROUNDING_S), math.floor(end + _ROUNDING_S), rule.seconds)
        for name, (start, end) in zip(names, intervals, strict=True)
    ]


def film_parts(design: HcpDesign, rule: ClipRule) -> list[FilmPart]:
    """Return the parts of all films, the montage as the first run has it and at the end."""
    parts: dict[str, FilmPart] = {}
    for run in design.runs:
        for part in parts_of_run(run, rule):
            parts.setdefault(part.name, part)
    return sorted(parts.values(), key=lambda part: part.name == MONTAGE)


@dataclass(frozen=True)
class Placed:
    """Split and block of a clip."""

    split: Split
    block: int


def place_clips(parts: Sequence[FilmPart], rule: ClipRule) -> dict[str, Placed]:
    """Return split and block of each clip: whole clips of films are in one split, the montage is never in training.

    With `apart`, clips are drawn one by one, as the authors do. Raises `DatasetError` if there are too few films.
    """
    if rule.montage == "apart":
        return _drawn([clip for part in parts for clip in part.clips], rule)
    films = [part for part in parts if part.name != MONTAGE]
    group = np.repeat(np.arange(len(films)), [len(film.clips) for film in films])
    shares: dict[Split, float] = {"test": rule.test} if rule.montage == "exclude" else {}
    split = assign_groups(group, np.ones(len(group), bool), {**shares, "validation": rule.validation}, rule.seed)
    names = [clip for film in films for clip in film.clips]
    placed = {name: Placed(part, block) for name, part, block in zip(names, split, group.tolist(), strict=True)}
    of_montage: Split = "test" if rule.montage == "test" else "excluded"
    for index, clip in enumerate(clip for part in parts[len(films) :] for clip in part.clips):
        placed[clip] = Placed(of_montage, len(films) + index // rule.block_clips)
    return placed


def _drawn(clips: Sequence[str], rule: ClipRule) -> dict[str, Placed]:
    order = np.random.default_rng([rule.seed, 3]).permutation(len(clips)).tolist()
    test, validation = round(rule.test * len(clips)), round(rule.validation * len(clips))
    splits: list[Split] = ["train"] * len(clips)
    for index in order[:test]:
        splits[index] = "test"
    for index in order[test : test + validation]:
        splits[index] = "validation"
    return {clip: Placed(split, block) for block, (clip, split) in enumerate(zip(clips, splits, strict=True))}


def movie_captions(paths: Sequence[Path], design: HcpDesign, rule: ClipRule) -> Captions:
    """Return the captions of all clips.

    A `.h5` of the authors has a text for each second that they describe: a clip gets those of its seconds, and a clip
    of the montage those of all showings.

    Raises:
        DatasetError: A file cannot be read, or a clip has no caption.
    """
    names = [clip for part in film_parts(design, rule) for clip in part.clips]
    by_second = {path: _by_second(path, design) for path in paths if path.suffix == ".h5"}
    captions = merge_captions(
        paths,
        lambda path: _of_clips(by_second[path], design, rule) if path in by_second else all_captions(path, names),
    )
    missing = [name for name in names if name not in captions]
    if missing:
        what = f"there is none for {len(missing)} clip(s): {some(missing, most=5)}"
        raise DatasetError.of(DataProblem("captions", what, "every clip needs one"))
    return captions


Texts = Mapping[tuple[str, int], str]
"""By the name of the run and the second of the film."""


def _by_second(path: Path, design: HcpDesign) -> Texts:
    texts = [text for array in h5_texts(path, right="Captions of Mind-Animator are needed").values() for text in array]
    seconds = [
        (run.name, second)
        for run in design.runs
        for start, end in run.described
        for second in range(math.ceil(start), math.floor(end))
    ]
    if len(texts) != len(seconds):
        right = f"{len(seconds)} are needed, one for each second that the authors use"
        raise InputError(path, f"has {len(texts)} captions", right)
    return dict(zip(seconds, texts, strict=True))


def _of_clips(texts: Texts, design: HcpDesign, rule: ClipRule) -> Captions:
    captions: dict[str, list[str]] = {}
    for run in design.runs:
        for part in parts_of_run(run, rule):
            for clip, start in zip(part.clips, part.starts, strict=True):
                found = [texts[run.name, second] for second in range(start, start + rule.seconds)]
                captions.setdefault(clip, []).extend(found)
    return {clip: tuple(dict.fromkeys(found)) for clip, found in captions.items()}
