"""Marks of a table of scores: which systems are better or worse than the first, clip by clip.

All systems are judged on the same clips, and clips differ more than systems do. So the differences are tested, not the
means: a paired t test over clips, adjusted by Holm's method for all comparisons of the table. It speaks of these
trained networks; `platform.report` compares trainings.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from trainables.metrics.metric import Metric

Mark: TypeAlias = Literal["better", "worse"]
ClipScores: TypeAlias = Mapping[tuple[str, str], Sequence[float | None]]
"""(system, metric) to one value per clip, in the same order of clips for all; None if undefined."""
FEWEST = 6
"""The smallest number of clips of which a test is made."""
LEVEL = 0.05
ENOUGH = 30
"""The number of clips from which a bootstrap interval needs no note."""


def paired_p(first: Sequence[float | None], other: Sequence[float | None]) -> tuple[float, float]:
    """Return the mean difference, `other` minus `first`, and the p of the paired t test over the clips of both.

    The p is 1 for fewer than `FEWEST` clips, and if all differences are 0.
    """
    both = [(a, b) for a, b in zip(first, other, strict=True) if a is not None and b is not None]
    if len(both) < FEWEST:
        return 0.0, 1.0
    differences = np.array([b - a for a, b in both])
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():  # equal but for rounding
        return float(differences[0]), 0.0 if differences[0] != 0.0 else 1.0
    return float(differences.mean()), float(stats.ttest_1samp(differences, 0.0).pvalue)


def paired_marks(values: ClipScores, metrics: Sequence[Metric], systems: Sequence[str]) -> dict[tuple[str, str], Mark]:
    """Return a mark for every (system, metric) that differs from the first of `systems`."""
    first, *others = systems
    tested = {
        (system, metric.short): (metric, *paired_p(values[first, metric.short], values[system, metric.short]))
        for system in others
        for metric in metrics
        if (system, metric.short) in values and (first, metric.short) in values
    }
    marks: dict[tuple[str, str], Mark] = {}
    for rank, (key, (metric, difference, p)) in enumerate(sorted(tested.items(), key=lambda item: item[1][2])):
        if p * (len(tested) - rank) > LEVEL:
            break
        marks[key] = "better" if (difference > 0) == (metric.goal == "max") else "worse"
    return marks


def few_clips_note(clips: int) -> str:
    """Return what an interval over few clips is worth; empty for enough clips."""
    if clips >= ENOUGH:
        return ""
    return (
        f"A bootstrap interval over {clips} clips is too narrow: measured for normal values, a 95% interval covers 72% "
        "over 3 clips, 83% over 5, 90% over 10, 93% over 20; less for accuracies near 0 or 1."
    )
