"""Splits clips by whole blocks of neighbours or by a file, and detects leaks between splits."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from trainables.config.data import FolderConfig
from trainables.datasets.clusters import clusters_named
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.tables import SPLITS
from trainables.datasets.resplit import resplit

MOST_CLIPS, FEWEST_BLOCKS = 20, 20
"""Clips of a block, unless this makes fewer blocks: a block of 20 clips of 2 s lasts 40 s."""
_TRAINED_AND_TESTED = ("train", "validation", "test")
_SPLIT_FILE = "it must be .csv (columns name and split) or .json (an object from clip to split)"


@dataclass(frozen=True)
class ClipSplit:
    """The split, block and cluster of each clip of a folder; all empty if the split cannot be used."""

    split: Sequence[str]
    block: Sequence[int]
    cluster: Sequence[str]
    problems: tuple[DataProblem, ...]


def split_clips(names: Sequence[str], config: FolderConfig) -> ClipSplit:
    """Split the clips `names` as `config` says: by blocks or by a file, with training and validation drawn anew or not.

    Clusters are what the file says, or else blocks of neighbours.
    """
    file = None if config.split is None else config.path / config.split
    split, block, problems = split_blocks(len(names), config) if file is None else read_split(file, names)
    if problems:
        return ClipSplit(split, block, (), tuple(problems))
    named = None if file is None else _given_clusters(file, names)
    size = clips_per_block(len(names), config)
    cluster = clusters_named("block", [index // size for index in range(len(names))]) if named is None else named
    try:
        return ClipSplit(resplit(split, block, seed=config.resplit), block, cluster, ())
    except DatasetError as error:
        return ClipSplit([], block, (), error.problems)


def _given_clusters(path: Path, names: Sequence[str]) -> tuple[str, ...] | None:
    """Return what the column `cluster` of a split file says of each clip; None if there is no such column."""
    if path.suffix != ".csv":
        return None
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if "cluster" not in (reader.fieldnames or ()):
        return None
    rows, by_name = list(reader), _by_name(names)
    of_clip = {by_name[row["name"]]: row["cluster"] for row in rows}
    return clusters_named("cluster", [of_clip[name] or f"{name} alone" for name in names])


def _by_name(names: Sequence[str]) -> dict[str, str]:
    """Return each clip by its name with and without suffix."""
    return {**{name.rsplit(".", 1)[0]: name for name in names}, **{name: name for name in names}}


def clips_per_block(clips: int, config: FolderConfig) -> int:
    """Return the clips per block: the value of the config, or what makes 20 blocks."""
    if config.block_clips is not None:
        return config.block_clips
    return max(1, min(MOST_CLIPS, clips // FEWEST_BLOCKS))


def split_blocks(clips: int, config: FolderConfig) -> tuple[list[str], list[int], list[DataProblem]]:
    """Return each clip's split and block, or what is wrong. Each split gets at least one block."""
    size = clips_per_block(clips, config)
    block = [index // size for index in range(clips)]
    blocks = block[-1] + 1
    test = max(1, round(config.test_fraction * blocks))
    validation = max(1, round(config.validation_fraction * blocks))
    if test + validation >= blocks:
        what = f"{clips} clips make {blocks} block(s) of {size}: too few for training, validation and test"
        right = "bring more clips, or lower block_clips or the fractions"
        return [], block, [DataProblem(str(config.path), what, right)]
    of_block = np.full(blocks, "train", dtype="U10")
    order = np.random.default_rng([config.seed, 2]).permutation(blocks)
    of_block[order[:test]] = "test"
    of_block[order[test : test + validation]] = "validation"
    return of_block[block].tolist(), block, []


def read_split(path: Path, names: Sequence[str]) -> tuple[list[str], list[int], list[DataProblem]]:
    """Return each clip's split as the file at `path` gives it, by name with or without suffix, or what is wrong.

    Neighbouring clips of one split are one block.
    """
    try:
        given = _given_splits(path)
    except FileNotFoundError:
        return [], [], [DataProblem(str(path), "there is no such file", _SPLIT_FILE)]
    except (ValueError, csv.Error, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        return [], [], [DataProblem(str(path), f"cannot be read: {error}", _SPLIT_FILE)]
    by_name = _by_name(names)
    problems = list(_wrong_splits(path, given, names, by_name))
    if problems:
        return [], [], problems
    of_clip = {by_name[key]: split for key, split in given}
    split = [of_clip[name] for name in names]
    block = [number for number, (_, members) in enumerate(groupby(split)) for _ in members]
    return split, block, []


def _given_splits(path: Path) -> list[tuple[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        value = json.loads(text, object_pairs_hook=list)
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
            return value
        raise ValueError("expected an object from clip to split")
    if path.suffix != ".csv":
        raise ValueError(f"unknown suffix {path.suffix!r}")
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames is None or not {"name", "split"} <= set(reader.fieldnames):
        raise ValueError(f"the first line must name the columns name and split, but is {reader.fieldnames}")
    return [(row["name"], row["split"]) for row in reader]


def _wrong_splits(
    path: Path, given: Sequence[tuple[str, Any]], names: Sequence[str], by_name: Mapping[str, str]
) -> Iterator[DataProblem]:
    clips = Counter(by_name.get(key) for key, _ in given)
    for what, wrong in (
        ("names no clip", [key for key, _ in given if key not in by_name]),
        ("occurs twice", [name for name in names if clips[name] > 1]),
        ("has no split", [name for name in names if name not in clips]),
    ):
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            yield DataProblem(f"{path}, {wrong[0]!r}{more}", what, "name every clip once")
    for key, split in given:
        if split not in SPLITS:
            yield DataProblem(f"{path}, {key!r}", f"split is {split!r}", f"it must be one of {', '.join(SPLITS)}")
    for split in _TRAINED_AND_TESTED:
        if split not in [of for _, of in given]:
            yield DataProblem(str(path), f"no clip is for {split}", "each of train, validation and test needs clips")


def neighbours(split: Sequence[str], config: FolderConfig) -> Iterator[DataProblem]:
    """Return a warning if test clips are direct neighbours of training clips, as in one film."""
    padded = ["", *split, ""]
    has_training_neighbour = [
        "train" in (before, after)
        for before, member, after in zip(padded, padded[1:], padded[2:], strict=False)
        if member == "test"
    ]
    if any(has_training_neighbour):
        count = sum(has_training_neighbour)
        what = f"{count} of {len(has_training_neighbour)} test clips lie directly beside a training clip"
        right = "if they come from one film this flatters the results: raise block_clips, or give your own split"
        yield DataProblem(str(config.path), what, right, fatal=False)


def duplicates(digests: Sequence[str | None], names: Sequence[str], split: Sequence[str]) -> list[DataProblem]:
    """Report clips with the same pixels: an error across splits (a leak), a warning within one.

    Args:
        digests: of each clip's frames; None for a clip that cannot be read.
        names: of the clips.
        split: of each clip; excluded ones are passed over.
    """
    seen: dict[str, int] = {}
    problems = []
    for index, digest in enumerate(digests):
        twin = index if digest is None or split[index] == "excluded" else seen.setdefault(digest, index)
        if twin == index:
            continue
        leak = split[twin] != split[index]
        where = f"{names[twin]!r} and {names[index]!r}"
        what = f"the same clip twice, in {split[twin]} and {split[index]}"
        problems.append(DataProblem(where, what, "remove one" if leak else "it counts twice", fatal=leak))
    return problems
