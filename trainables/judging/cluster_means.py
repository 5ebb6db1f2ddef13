"""Values of clusters of clips in place of values of clips.

Clusters may differ in size. A clip keeps its weight, so that the mean over clusters is the mean over clips, the number
in every table: the value of cluster k is m + w_k (m_k - m), with m the mean over clips, m_k that of the cluster, and
w_k its clips over the mean number of clips of a cluster. The spread of these values is that of the ratio estimator of a
cluster sample (Cochran 1977, ch. 9A). With clusters of one size it is m_k. Sign flips take w_k m_k, whose sign alone
is arbitrary under the null.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ClusterMeans:
    """The values of clusters [..., K] instead of clips [..., n]; the mean over either is the same."""

    values: NDArray[np.float64]
    """For spread, intervals and t tests."""
    flipped: NDArray[np.float64]
    """For flips of signs; equal to `values` if all clusters have one size."""


def cluster_means(values: NDArray[np.float64], clusters: Sequence[str]) -> ClusterMeans:
    """Average `values` [..., n] within `clusters`, one name for each clip; as they are if every clip is on its own."""
    if len(set(clusters)) == values.shape[-1]:
        return ClusterMeans(values, values)
    names, number = np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(number)
    membership = np.zeros((values.shape[-1], len(names)))
    membership[np.arange(len(number)), number] = 1.0 / sizes[number]
    means = values @ membership
    if np.ptp(sizes) == 0:
        return ClusterMeans(means, means)
    weights = sizes / sizes.mean()
    overall = values.mean(axis=-1, keepdims=True)
    return ClusterMeans(overall + weights * (means - overall), weights * means)
