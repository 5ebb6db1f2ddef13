"""The shuffle test: is the order of the reconstructed frames better than chance (mind-animator.md A.6, C.3, Fig 6)?

The reconstruction's frames are permuted, the truth's are not. Metrics that look at neighbouring frames (EPE,
CLIP-pcc) are sums over transitions, so a table `[N, F-1, F, F]` of what the transition from frame i to frame j would
score at place t (`flow.transition_errors`, `video_semantics.transition_similarities`) answers every permutation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Floats
from trainables.metrics.registry import Goal


@dataclass(frozen=True)
class ShuffleTest:
    """Outcome of the test over N clips."""

    group: NDArray[np.float64]
    """`[repeats]`: the paper's P, the share of shuffles whose mean over clips beats the true order's (no +1, so 0 is
    possible; its resolution is 1/shuffles). One permutation serves all clips in a shuffle."""
    per_clip: NDArray[np.float64]
    """`[N]`: (1 + k) / (1 + all shuffles), k of which are at least as good as the true order. Valid clip by clip."""


def shuffle_test(table: Floats, *, goal: Goal, shuffles: int = 100, repeats: int = 5, seed: int = 0) -> ShuffleTest:
    """Run the test on a transition table `[N, F-1, F, F]`.

    The released code compares 44 clips that were picked by hand (mind-animator.md B39); give all, or a rule that does
    not look at the metric.
    """
    frames = table.shape[-1]
    original = reorder(table, np.arange(frames)[None])[:, 0]
    shuffled = reorder(table, permutations(frames, shuffles * repeats, seed=seed))
    groups = shuffled.mean(axis=0).reshape(repeats, shuffles)
    return ShuffleTest(
        group=group_p(groups, original=float(original.mean()), goal=goal),
        per_clip=clip_p(shuffled, original=original, goal=goal),
    )


def permutations(frames: int, count: int, *, seed: int) -> NDArray[np.intp]:
    """Return `[count, frames]` random orders, drawn with replacement; the true order may be among them."""
    if frames < 3:
        raise ValueError(f"a shuffle test needs 3 frames or more, not {frames}")
    random = np.random.default_rng(seed)
    return random.permuted(np.tile(np.arange(frames), (count, 1)), axis=1)


def reorder(table: Floats, orders: NDArray[np.intp]) -> Floats:
    """Return `[N, S]`: the mean over places of the transitions of N clips `[N, F-1, F, F]` in S orders `[S, F]`."""
    places = np.arange(table.shape[-1] - 1)
    return np.asarray(table[:, places, orders[:, :-1], orders[:, 1:]].mean(axis=-1))


def group_p(shuffled: Floats, *, original: float, goal: Goal) -> NDArray[np.float64]:
    """Return `[...]`: the share of `shuffled` `[..., S]` that beats `original` (mind-animator.md A.6)."""
    beats = shuffled < original if goal == "min" else shuffled > original
    share: NDArray[np.float64] = beats.mean(axis=-1)
    return share


def clip_p(shuffled: Floats, *, original: Floats, goal: Goal) -> NDArray[np.float64]:
    """Return `[N]`: (1 + k) / (1 + S), k of S shuffles `[N, S]` being at least as good as `original` `[N]`."""
    at_least = shuffled <= original[:, None] if goal == "min" else shuffled >= original[:, None]
    p: NDArray[np.float64] = (1 + at_least.sum(axis=-1)) / (1 + shuffled.shape[-1])
    return p
