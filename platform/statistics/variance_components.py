"""Variance components: how much of the variance of a number is due to subjects, seeds, clips and their interactions.

All factors are random and crossed. The mean square of a set A of factors has the expectation

    E[MS_A] = sum over B that contain A of n(not in B) * variance_B

with n(not in B) the product of the levels of the factors outside of B (Searle, Casella and McCulloch 1992, ch. 4), so

    variance_A = sum over B that contain A of (-1)^|B - A| * MS_B / n(not in A).

With one value per cell the interaction of all factors is the residual. Clips that lie in clusters: the clips' part is
split into clusters and clips within clusters, by a one-way analysis of the means of clips. An estimate below 0 is 0, as
usual. The shares describe; nothing is tested.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from platform.statistics.paired import Values

RESIDUAL = "residual"


@dataclass(frozen=True)
class VarianceComponents:
    """The variance of each factor and interaction, in the order of tables."""

    variances: Mapping[str, float]
    """Name, such as `seed` or `seed x clip`, to its variance; not below 0."""
    negative: tuple[str, ...]
    """The names whose estimate was below 0 and is given as 0."""

    @property
    def shares(self) -> Mapping[str, float]:
        """Name to its share of the sum; NaN if there is no variance at all."""
        total = sum(self.variances.values())
        return {name: value / total if total > 0 else float("nan") for name, value in self.variances.items()}


def variance_components(
    values: Values, factors: Sequence[str], *, clusters: Sequence[str] = ()
) -> VarianceComponents | None:
    """Return the components of `values`, an array with one axis per factor; None if fewer than two factors have levels.

    Args:
        values: Finite, one value per cell.
        factors: The name of each axis. An axis with one level has no component.
        clusters: The cluster of each index of the last axis; empty if there are none.

    Example:
        >>> found = variance_components(np.array([[1.0, 5.0], [1.0, 5.0]]), ("seed", "clip"))
        >>> found.shares["clip"]
        1.0
    """
    kept = [axis for axis, levels in enumerate(values.shape) if levels > 1]
    if len(kept) < 2:
        return None
    table = values.reshape([values.shape[axis] for axis in kept])
    names = [factors[axis] for axis in kept]
    estimates = dict(_crossed(table, names))
    if clusters and len(set(clusters)) not in (1, len(clusters)) and kept[-1] == values.ndim - 1:
        estimates = _with_clusters(table, names, estimates, clusters)
    negative = tuple(name for name, value in estimates.items() if value < 0)
    return VarianceComponents({name: max(0.0, value) for name, value in estimates.items()}, negative)


def _crossed(table: Values, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    axes = range(table.ndim)
    subsets = [subset for size in range(1, table.ndim + 1) for subset in combinations(axes, size)]
    squares = {subset: _mean_square(table, subset) for subset in subsets}
    for subset in subsets:
        outside = np.prod([table.shape[axis] for axis in axes if axis not in subset])
        larger = [other for other in subsets if set(subset) <= set(other)]
        variance = sum((-1) ** (len(other) - len(subset)) * squares[other] for other in larger) / outside
        name = RESIDUAL if len(subset) == table.ndim else " x ".join(names[axis] for axis in subset)
        yield name, float(variance)


def _mean_square(table: Values, subset: tuple[int, ...]) -> float:
    """Return the mean square of the effect of `subset`: the interaction of its factors alone."""
    others = tuple(axis for axis in range(table.ndim) if axis not in subset)
    effect = table.mean(axis=others, keepdims=True)
    for axis in subset:
        effect = effect - effect.mean(axis=axis, keepdims=True)
    freedom = np.prod([table.shape[axis] - 1 for axis in subset])
    outside = np.prod([table.shape[axis] for axis in others])
    return float((effect**2).sum() * outside / freedom)


def _with_clusters(
    table: Values, names: Sequence[str], estimates: Mapping[str, float], clusters: Sequence[str]
) -> dict[str, float]:
    """Split the component of the last factor into clusters and clips within clusters.

    The difference between clips of a cluster has the variance of clips within clusters and what the mean over the other
    factors leaves of the interactions with clips.
    """
    clip = names[-1]
    means = table.mean(axis=tuple(range(table.ndim - 1)))
    number = np.unique(np.array(clusters), return_inverse=True)[1]
    sizes = np.bincount(number)
    of_cluster = np.bincount(number, weights=means) / sizes
    within = float(((means - of_cluster[number]) ** 2).sum() / (len(means) - len(sizes)))
    between = float((sizes * (of_cluster - means.mean()) ** 2).sum() / (len(sizes) - 1))
    typical = (len(means) - (sizes**2).sum() / len(means)) / (len(sizes) - 1)
    left = float(means.var(ddof=1)) - estimates[clip]  # what the interactions add to the variance of a mean
    split = {}
    for name, value in estimates.items():
        if name == clip:
            split["cluster"] = (between - within) / typical
            split[f"{clip} within cluster"] = within - left
        else:
            split[name] = value
    return split
