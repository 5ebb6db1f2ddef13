"""The true levels of the tests over seeds where differences are not symmetric about their mean.

Sign flips are exact if the condition changes nothing at all: then each difference of a seed is as likely to have the
other sign. They are not exact for "the mean difference is 0". If a few trainings differ much more than the others, and
to one side, most studies of few seeds see none of these, and the others seem to agree. No test of few values can keep
its level for means of all distributions (Bahadur and Savage 1956). So the level that a test has is stated.

`TRUE_LEVELS` is computed by `python -m benchmarks.levels` (20,000 studies a cell, 30 clips). Differences
over seeds have mean 0 and the shape that the key names; "one in ten diverges": a training in ten is worse by 30
standard deviations of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from platform.statistics.attainable import ClaimUnit

Shape: TypeAlias = Literal["normal", "exponential", "lognormal", "one in ten diverges"]
Levels: TypeAlias = Mapping[int, tuple[float, float]]
"""Number of seeds to the level over seeds, and over seeds and clips."""

TRUE_LEVELS: Mapping[Shape, Levels] = {
    "normal": {7: (0.05, 0.05), 9: (0.05, 0.05), 11: (0.05, 0.05), 15: (0.05, 0.05), 20: (0.05, 0.05)},
    "exponential": {7: (0.09, 0.09), 9: (0.1, 0.09), 11: (0.09, 0.09), 15: (0.09, 0.08), 20: (0.09, 0.07)},
    "lognormal": {7: (0.15, 0.15), 9: (0.15, 0.15), 11: (0.15, 0.14), 15: (0.15, 0.13), 20: (0.14, 0.11)},
    "one in ten diverges": {7: (0.48, 0.48), 9: (0.39, 0.39), 11: (0.32, 0.32), 15: (0.21, 0.21), 20: (0.12, 0.12)},
}

FAR = 8.0
"""A seed is far from the others if its distance to their median is more than this many times the median distance."""
_FEWEST = 5


def not_excluded(seeds: int) -> str:
    """Return how often another outcome than those seen may occur (the upper 95% limit of a share of 0 in `seeds`)."""
    return f"an outcome of up to {1 - 0.05 ** (1 / seeds):.0%} of trainings may not have been seen in {seeds} seeds"


def level_note(unit: ClaimUnit, *, seeds: int) -> str:
    """Return the true levels of a test over `seeds` seeds at 0.05; empty over clips, where they are not the unit."""
    if unit == "clips" or seeds < min(TRUE_LEVELS["normal"]):
        return ""
    known = max(size for size in TRUE_LEVELS["normal"] if size <= seeds)
    column = 0 if unit == "seeds" else 1
    shapes: tuple[Shape, ...] = ("exponential", "lognormal", "one in ten diverges")
    levels = ", ".join(f"{shape} {TRUE_LEVELS[shape][known][column]:.2f}" for shape in shapes)
    return (
        "The p over seeds is exact if the condition changes nothing. As a test of the mean difference at 0.05, its "
        f"true level depends on how trainings differ ({known} seeds, simulated: normal 0.05, {levels}); "
        f"{not_excluded(seeds)}"
    )


def far_seeds(differences: Sequence[float]) -> int:
    """Return how many of the `differences`, one per seed, are far from the others."""
    if len(differences) < _FEWEST:
        return 0
    distances = np.abs(np.asarray(differences) - np.median(differences))
    return int((distances > FAR * np.median(distances)).sum()) if np.median(distances) > 0 else 0
