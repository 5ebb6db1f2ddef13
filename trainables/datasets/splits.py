"""Splits clips by whole blocks of neighbours, and finds what leaks from one split to another."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import FolderConfig
from trainables.datasets.errors import DataProblem


def split_blocks(clips: int, config: FolderConfig) -> tuple[list[str], list[int], list[DataProblem]]:
    """Return each clip's split and block, or what is wrong: at least one block must go to each split."""
    block = [index // config.block_clips for index in range(clips)]
    blocks = block[-1] + 1
    test = max(1, round(config.test_fraction * blocks))
    validation = max(1, round(config.validation_fraction * blocks))
    if test + validation >= blocks:
        what = (
            f"{clips} clips make {blocks} block(s) of {config.block_clips}: too few for training, validation and test"
        )
        return (
            [],
            block,
            [DataProblem(str(config.path), what, "bring more clips, or lower block_clips or the fractions")],
        )
    of_block = np.full(blocks, "train", dtype="U10")
    order = np.random.default_rng([config.seed, 2]).permutation(blocks)
    of_block[order[:test]] = "test"
    of_block[order[test : test + validation]] = "validation"
    return of_block[block].tolist(), block, []


def duplicates(
    clips: Sequence[NDArray[np.uint8] | None], names: Sequence[str], split: Sequence[str]
) -> list[DataProblem]:
    """Report clips with the same pixels: an error across splits (a leak), a warning within one."""
    seen: dict[str, int] = {}
    problems = []
    for index, clip in enumerate(clips):
        if clip is None:
            continue
        twin = seen.setdefault(hashlib.sha256(clip.tobytes()).hexdigest(), index)
        if twin == index:
            continue
        leak = split[twin] != split[index]
        where = f"{names[twin]!r} and {names[index]!r}"
        what = f"the same clip twice, in {split[twin]} and {split[index]}"
        problems.append(DataProblem(where, what, "remove one" if leak else "it counts twice", fatal=leak))
    return problems
