"""Marks of a table of scores: which systems are better or worse than the first, clip by clip.

All systems are judged on the same clips, and clips differ more than systems do. So the differences are tested, not the
means: a paired t test over clips, or over clusters of clips that are alike, adjusted by Holm's method for all
comparisons of the table. It speaks of these trained networks; `platform.report` compares trainings.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from trainables.datasets.clusters import each_its_own
from trainables.judging.cluster_means import cluster_means
from trainables.metrics.metric import Metric

Mark: TypeAlias = Literal["better", "worse"]
ClipScores: TypeAlias = Mapping[tuple[str, str], Sequence[float | None]]
"""(system, metric) to one value per clip, in the same order of clips for all; None if undefined."""
_FEWEST = 6
"""The smallest number of clips of which a test is made."""
LEVEL = 0.05
ENOUGH = 30
"""The number of clips from which a bootstrap interval needs no note."""


def paired_p(
    first: Sequence[float | None], other: Sequence[float | None], clusters: Sequence[str] = ()
) -> tuple[float, float]:
    """Return the mean difference, `other` minus `first`, and the p of the paired t test over the clips of both.

    With `clusters`, the name of that of each clip, the test is over clusters. The p is 1 for fewer than `FEWEST` clips
    or clusters, and if all differences are 0.
    """
    names = clusters if clusters else each_its_own(range(len(first)))
    both = [(b - a, name) for a, b, name in zip(first, other, names, strict=True) if a is not None and b is not None]
    if len({name for _, name in both}) < _FEWEST:
        return 0.0, 1.0
    differences = cluster_means(np.array([difference for difference, _ in both]), [name for _, name in both]).values
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():  # equal but for rounding
        return float(differences[0]), 0.0 if differences[0] != 0.0 else 1.0
    return float(differences.mean()), float(stats.ttest_1samp(differences, 0.0).pvalue)


def paired_marks(
    values: ClipScores, metrics: Sequence[Metric], systems: Sequence[str], *, clusters: Sequence[str] = ()
) -> dict[tuple[str, str], Mark]:
    """Return a mark for every (system, metric) that differs from the first of `systems`.

    `clusters` has the name of the cluster of each clip; if it is empty, every clip is on its own.
    """
    first, *others = systems
    tested = {
        (system, metric.short): (metric, *paired_p(values[first, metric.short], values[system, metric.short], clusters))
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


def few_clips_note(clips: int, *, unit: str = "clip") -> str:
    """Return what an interval over few clips, or clusters of the kind `unit`, is worth; empty for enough of them."""
    if clips >= ENOUGH:
        return ""
    return (
        f"A bootstrap interval over {clips} {unit}s is too narrow: measured for normal values, a 95% interval covers "
        f"72% over 3 {unit}s, 83% over 5, 90% over 10, 93% over 20; less for accuracies near 0 or 1."
    )
