"""Rates of false positives where clips lie in clusters, and where the effect varies by data set: before and after.

    python -m tests.platform.statistics.cluster_levels [TABLES]

Before: clips count as independent; all seeds share one data set. After: clusters are the units; `vary: [train, data]`
draws a data set for each seed. No table has a true effect. Nominal level 0.05, family of one.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform.statistics.difference import over_both
from platform.statistics.paired import Values
from platform.statistics.resampling import sign_flip_p
from trainables.judging.cluster_means import cluster_means

ALPHA, SEEDS, CLIPS = 0.05, 7, 60
Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class LevelRow:
    """One null, and which of its tables are called significant."""

    null: str
    before: Hits
    after: Hits

    def __str__(self) -> str:
        return f"| {self.null} | {self.before.mean():.3f} | {self.after.mean():.3f} |"


def over_seeds_and_clips(cells: Values, clusters: tuple[str, ...] = ()) -> Hits:
    """Tell which tables [tables, seeds, clips] are significant over both, as in `compare`."""
    rng = np.random.default_rng(0)
    means = cluster_means(cells, clusters if clusters else tuple(map(str, range(cells.shape[2]))))
    p_seeds = sign_flip_p(cells.mean(axis=2), rng=rng)
    p_clips = sign_flip_p(means.flipped.mean(axis=1), rng=rng, resamples=999)
    p_both = np.array([over_both(table).p() for table in means.values])
    return np.asarray(np.maximum(np.maximum(p_seeds, p_clips), p_both) <= ALPHA)


def clustered_rows(tables: int, *, unequal: bool = False) -> Iterator[LevelRow]:
    """Yield the rows of clips in clusters of 2, 5 and 10, with a share of their variance within the cluster."""
    for share in (0.2, 0.5):
        for size in (2, 5, 10):
            rng = np.random.default_rng([size, round(10 * share)])
            number = np.arange(CLIPS) // size
            if unequal:  # the first two thirds of the clusters have one clip less, which the last ones have more
                number = np.sort(rng.integers(CLIPS // size, size=CLIPS))
                number = np.unique(number, return_inverse=True)[1]
            cells = _cells(rng, tables, number, share)
            names = tuple(f"film {film}" for film in number)
            null = f"clips in clusters of {'about ' if unequal else ''}{size}, ICC {share:g}"
            yield LevelRow(null, over_seeds_and_clips(cells), over_seeds_and_clips(cells, names))


def _cells(rng: np.random.Generator, tables: int, number: NDArray[np.int64], share: float) -> Values:
    films = rng.normal(0.0, share**0.5, (tables, 1, number.max() + 1))[..., number]
    clips = rng.normal(0.0, (1 - share) ** 0.5, (tables, 1, CLIPS))
    return np.asarray(films + clips + rng.normal(0.0, 0.5, (tables, SEEDS, CLIPS)))


def data_set_rows(tables: int) -> Iterator[LevelRow]:
    """Yield the rows of an effect that varies by data set; sd in units of that between seeds."""
    for spread in (0.25, 0.5, 1.0):
        rng = np.random.default_rng(round(100 * spread))
        seeds = rng.normal(size=(tables, SEEDS))
        one, own = rng.normal(0.0, spread, (tables, 1)), rng.normal(0.0, spread, (tables, SEEDS))
        before, after = (sign_flip_p(seeds + data, rng=rng) <= ALPHA for data in (one, own))
        yield LevelRow(f"effect also varies by data set, sd {spread:g} of the seeds'", before, after)


def level_rows(tables: int) -> Iterator[LevelRow]:
    """Yield all rows."""
    yield from clustered_rows(tables)
    yield from clustered_rows(tables, unequal=True)
    yield from data_set_rows(tables)


def main() -> None:
    """Print the table."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    sys.stdout.write(f"| null ({tables:,} tables, {SEEDS} seeds x {CLIPS} clips) | before | after |\n|---|--:|--:|\n")
    for row in level_rows(tables):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
