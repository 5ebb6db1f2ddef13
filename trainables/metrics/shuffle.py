"""The shuffle test: is the order of the reconstructed frames better than chance (mind-animator.md A.6, C.3, Fig 6)?

The frames of the reconstruction are permuted, the frames of the truth are not. Metrics of neighbouring frames (EPE,
CLIP-pcc) are means over transitions. So every permutation can be scored with a table `[N, F-1, F, F]`: the score of the
transition from frame i to frame j at position t (`flow.transition_errors`, `video_semantics.transition_similarities`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Floats
from trainables.metrics.metric import Goal


@dataclass(frozen=True)
class ShuffleTest:
    """The result of the test over N clips."""

    group: NDArray[np.float64]
    """`[repeats]`: the paper's P, the fraction of shuffles whose mean over clips is better than the true order's. There
    is no +1, so 0 is possible; the resolution is 1/shuffles. A shuffle uses the same permutation for all clips."""
    per_clip: NDArray[np.float64]
    """`[N]`: the p-value of each clip, (1 + k) / (1 + shuffles); k shuffles are at least as good as the true order."""


def shuffle_test(table: Floats, *, goal: Goal, shuffles: int = 100, repeats: int = 5, seed: int = 0) -> ShuffleTest:
    """Return the result of the test on a transition table `[N, F-1, F, F]`.

    The released code uses 44 clips that were selected by hand (mind-animator.md B39). Use all clips, or select them by
    a rule that does not depend on the metric.
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
    """Return `[count, frames]` random orders, drawn with replacement. The true order may be among them."""
    if frames < 3:
        raise ValueError(f"the clips have {frames} frame(s); a shuffle test needs 3 or more")
    random = np.random.default_rng(seed)
    return random.permuted(np.tile(np.arange(frames), (count, 1)), axis=1)


def reorder(table: Floats, orders: NDArray[np.intp]) -> Floats:
    """Return `[N, S]`: the mean over positions of the transitions of N clips `[N, F-1, F, F]` in S orders `[S, F]`."""
    positions = np.arange(table.shape[-1] - 1)
    return np.asarray(table[:, positions, orders[:, :-1], orders[:, 1:]].mean(axis=-1))


def group_p(shuffled: Floats, *, original: float, goal: Goal) -> NDArray[np.float64]:
    """Return `[...]`: the fraction of `shuffled` `[..., S]` that is better than `original` (mind-animator.md A.6)."""
    beats = shuffled < original if goal == "min" else shuffled > original
    share: NDArray[np.float64] = beats.mean(axis=-1)
    return share


def clip_p(shuffled: Floats, *, original: Floats, goal: Goal) -> NDArray[np.float64]:
    """Return `[N]`: (1 + k) / (1 + S), where k of S shuffles `[N, S]` are at least as good as `original` `[N]`."""
    at_least = shuffled <= original[:, None] if goal == "min" else shuffled >= original[:, None]
    p: NDArray[np.float64] = (1 + at_least.sum(axis=-1)) / (1 + shuffled.shape[-1])
    return p
