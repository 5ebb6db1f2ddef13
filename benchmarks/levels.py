"""How often a test of level 0.05 rejects although the mean difference is 0, where its assumptions do not hold.

    python -m benchmarks.levels           # the table, 20,000 studies a cell (`make levels`)
    python -m benchmarks.levels --quick   # 1,000 studies a cell

`tests/platform/statistics/test_levels.py` repeats it with fewer studies, and holds it against `TRUE_LEVELS`.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform.statistics.difference import over_both
from platform.statistics.equivalence import tost
from platform.statistics.levels import TRUE_LEVELS, Shape, not_excluded
from platform.statistics.paired import Values
from platform.statistics.resampling import sign_flip_p

ALPHA = 0.05
CLIPS = 30
SPREAD = 0.3
"""Deviation between clips, and between cells, of differences whose deviation between seeds is 1."""
DIVERGENCE = 30.0
"""By how many deviations a training that diverges is worse."""
Draw = Callable[[np.random.Generator, tuple[int, ...]], Values]


def diverging(rate: float) -> Draw:
    """Return draws of mean 0 of which a share of `rate` lies far below the others."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
        return rng.standard_normal(shape) + DIVERGENCE * (rate - (rng.random(shape) < rate))

    return draw


SHAPES: Mapping[Shape, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1.0,
    "lognormal": lambda rng, shape: (rng.lognormal(size=shape) - math.exp(0.5)) / math.sqrt((math.e - 1.0) * math.e),
    "one in ten diverges": diverging(0.1),
}
"""Differences between seeds of mean 0."""


@dataclass(frozen=True)
class Hits:
    """Which simulated studies reject, over seeds and over seeds and clips."""

    seeds: NDArray[np.bool_]
    both: NDArray[np.bool_]


def rejections(shape: Shape, *, seeds: int, studies: int, seed: int) -> Hits:
    """Return which of `studies` null studies with `seeds` seeds and `CLIPS` clips reject at `ALPHA`."""
    rng = np.random.default_rng([seed, seeds])
    by_seed = SHAPES[shape](rng, (studies, seeds))
    clips, cells = (SPREAD * rng.standard_normal((studies, *size)) for size in ((1, CLIPS), (seeds, CLIPS)))
    differences = by_seed[..., None] + clips + cells
    over_seeds = np.asarray(sign_flip_p(differences.mean(axis=2), rng=rng) <= ALPHA)
    both = over_seeds.copy()
    for index in np.flatnonzero(over_seeds):
        both[index] = over_both(differences[index]).p() <= ALPHA
    both[both] = sign_flip_p(differences[both].mean(axis=1), rng=rng, resamples=999) <= ALPHA
    return Hits(over_seeds, both)


def stopping_rejections(
    *, first: int, last: int, studies: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which null studies reject at some number of seeds from `first` to `last`, and which with `first`."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((studies, last))
    looks = np.stack([sign_flip_p(rows[:, :n], rng=rng) <= ALPHA for n in range(first, last + 1)])
    return np.asarray(looks.any(axis=0)), np.asarray(looks[0])


def false_sameness(rate: float, *, seeds: int, studies: int, seed: int) -> NDArray[np.bool_]:
    """Return which studies conclude sameness, though diverging trainings move the mean beyond the margin.

    The true difference is 2.25 times the margin; a diverging training completes, with a bad value.
    """
    rng = np.random.default_rng(seed)
    margin = 1.0
    rows = 0.2 * rng.standard_normal((studies, seeds)) - 2.25 * margin / rate * (rng.random((studies, seeds)) < rate)
    estimates = [over_both(np.repeat(row[:, None], 2, axis=1) + 1e-3 * rng.standard_normal((seeds, 2))) for row in rows]
    return np.array([tost(estimate, margin=margin) <= ALPHA for estimate in estimates])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    studies = 1_000 if parser.parse_args().quick else 20_000
    print(f"level of a nominal {ALPHA} without a mean difference, {studies:,} studies a cell")
    print("differences over seeds   seeds   over seeds   over both   in the report")
    for shape in SHAPES:
        for seeds in TRUE_LEVELS["normal"]:
            hits = rejections(shape, seeds=seeds, studies=studies, seed=1)
            found = f"{hits.seeds.mean():12.3f} {hits.both.mean():11.3f}"
            print(f"{shape:24} {seeds:5} {found}   {', '.join(map(str, TRUE_LEVELS[shape][seeds]))}")
    looks, registered = stopping_rejections(first=7, last=20, studies=studies, seed=2)
    print(
        f"seeds added from 7 up to 20 until a star: {looks.mean():.3f}; registered seeds alone: {registered.mean():.3f}"
    )
    for seeds in (7, 9, 11):
        share = false_sameness(0.05, seeds=seeds, studies=studies // 10, seed=3).mean()
        print(f"sameness where 5 % of trainings diverge by far, {seeds} seeds: {share:.2f}; {not_excluded(seeds)}")


if __name__ == "__main__":
    main()
