"""Made-up tables of differences, and how far a simulated share may lie from what it should be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from platform.statistics.paired import PairedTable, Values
from trainables.metrics.metric import Metric

CHANCE = 1e-4
"""How often a true statement fails a test here, at most, for other seeds."""


def at_most(hits: NDArray[np.bool_], share: float) -> bool:
    """Tell whether the hits can be draws of an event whose probability is at most `share`."""
    return bool(hits.sum() <= stats.binom.ppf(1 - CHANCE, hits.size, share))


def at_least(hits: NDArray[np.bool_], share: float) -> bool:
    """Tell whether the hits can be draws of an event whose probability is at least `share`."""
    return bool(hits.sum() >= stats.binom.ppf(CHANCE, hits.size, share))


def about(hits: NDArray[np.bool_], share: float) -> bool:
    return at_most(hits, share) and at_least(hits, share)


def crossed(shape: tuple[int, int, int], rng: np.random.Generator, *, spread: Sequence[float]) -> Values:
    """Differences [tables, seeds, clips] of mean 0; `spread` is the deviation between seeds, clips and cells."""
    tables, seeds, clips = shape
    parts = [(tables, seeds, 1), (tables, 1, clips), shape]
    return np.asarray(sum(size * rng.standard_normal(part) for size, part in zip(spread, parts, strict=True)))


def metric(name: str = "evaluate.made_up", *, goal: str = "max", low: float = -np.inf, high: float = np.inf) -> Metric:
    return Metric(name, title=name, goal=goal, low=low, high=high, source="made up")  # type: ignore[arg-type]


def table(baseline: Values, condition: Values, *, name: str = "wo_it", of: Metric | None = None) -> PairedTable:
    subjects, seeds, clips = baseline.shape
    return PairedTable(
        name,
        metric() if of is None else of,
        baseline,
        condition,
        tuple(f"S{u}" for u in range(subjects)),
        tuple(range(seeds)),
        tuple(range(clips)),
    )
