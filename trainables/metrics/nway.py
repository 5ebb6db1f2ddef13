"""N-way top-k accuracy: a classifier's agreement between reconstruction and truth (mind-animator.md A.9).

The classes with the three highest logits of the truth are the correct classes. A trial draws n-1 wrong classes at
random. It succeeds if a correct class is among the k most likely classes of the draw. The released code draws 20 or 100
times (mind-animator.md B35). Here the expectation over all draws is computed in closed form, without noise and much
faster. Because three classes are correct, the chance level of 2-way is 0.75, not 0.5. Several published numbers are
below it.

Logits are `[..., C]`. The caller averages over the frames of a clip. Only the order of logits matters, so no softmax is
applied; in half precision it would create ties. Ties are broken at random, so constant logits score the chance level.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Floats, UndefinedError


@dataclass(frozen=True)
class NWay:
    """A form of the test: `NWay()` is the paper's 2-way, `NWay(n=50)` its 50-way.

    Example:
        >>> logits = np.arange(10.0)
        >>> float(NWay().exact(logits[None], logits[None])[0]), NWay().chance
        (1.0, 0.75)
    """

    n: int = 2
    """Classes per trial: n-1 wrong classes and the correct one."""
    k: int = 1
    """Number of highest classes that count as a success."""
    positives: int = 3
    """Number of correct classes."""

    def __post_init__(self) -> None:
        if not (1 <= self.k < self.n and self.positives >= 1):
            raise ValueError(
                f"NWay has n={self.n}, k={self.k}, positives={self.positives}; needs 1 <= k < n and 1 <= positives"
            )

    @property
    def chance(self) -> float:
        """The accuracy of uninformative logits: 1 - C(n-1, k) / C(n-1+positives, k).

        For k=1 and three positives it is 3/(n+2): 0.75 for 2-way, 0.0577 for 50-way.
        """
        return 1 - comb(self.n - 1, self.k) / comb(self.n - 1 + self.positives, self.k)

    @property
    def classes(self) -> int:
        """The fewest classes with which it can be computed."""
        return self.positives + self.n - 1

    def exact(self, truth: Floats, prediction: Floats) -> NDArray[np.float64]:
        """Return the expected accuracy `[...]` over all draws, from logits `[..., C]` of truth and reconstruction.

        The best correct class competes with n-1 of the C - positives wrong classes. If b of these have a higher logit,
        their number in a draw is hypergeometric, and the accuracy is P(number < k).
        """
        self._check(truth, prediction)
        right = np.take_along_axis(prediction, self._right(truth), axis=-1)
        best = right.max(axis=-1, keepdims=True)
        better = (prediction > best).sum(axis=-1)
        tied_right = (right == best).sum(axis=-1)
        tied_wrong = (prediction == best).sum(axis=-1) - tied_right
        table = self._accuracies(truth.shape[-1] - self.positives)
        accuracy: NDArray[np.float64] = table[better]
        for row in zip(*np.nonzero(tied_wrong), strict=True):
            accuracy[row] = _over_ties(table[better[row] :], wrong=int(tied_wrong[row]), right=int(tied_right[row]))
        return accuracy

    def sampled(self, truth: Floats, prediction: Floats, *, trials: int = 100, seed: int = 0) -> NDArray[np.float64]:
        """Return the accuracy `[...]` over `trials` random draws per row: the paper's Algorithm 2, for comparison.

        Its expectation p is `exact`; its standard deviation is sqrt(p(1-p)/trials). The released code uses 20 trials
        for images, 100 for videos, and no seed.
        """
        self._check(truth, prediction)
        random = np.random.default_rng(seed)
        right = self._right(truth).reshape(-1, self.positives)
        rows = prediction.reshape(len(right), -1)
        hits = [np.mean([self._trial(random, *pair) for _ in range(trials)]) for pair in zip(rows, right, strict=True)]
        return np.array(hits).reshape(truth.shape[:-1])

    def _trial(self, random: np.random.Generator, logits: Floats, right: NDArray[np.intp]) -> bool:
        draw = random.choice(np.delete(logits, right), self.n - 1, replace=False)
        is_right = np.arange(self.positives + self.n - 1) < self.positives
        shuffle = random.permutation(len(is_right))
        order = shuffle[np.argsort(-np.concatenate([logits[right], draw])[shuffle], kind="stable")]
        return bool(is_right[order].argmax() < self.k)

    def _right(self, truth: Floats) -> NDArray[np.intp]:
        """Return the highest classes `[..., positives]`. The choice among ties is arbitrary but fixed."""
        order: NDArray[np.intp] = np.argpartition(truth, -self.positives, axis=-1)
        return order[..., -self.positives :]

    def _accuracies(self, wrong: int) -> NDArray[np.float64]:
        """Return `[wrong + 1]`: P(fewer than k of the b better classes among `wrong` are drawn) for b = 0 .. wrong."""
        draws = self.n - 1
        logs = np.concatenate([[0.0], np.log(np.arange(1, wrong + 1)).cumsum()])
        winners = np.arange(wrong + 1)
        accuracy = np.zeros(wrong + 1)
        for i in range(self.k):
            possible = (winners >= i) & (wrong - winners >= draws - i)
            b = winners[possible]
            ways = _log_comb(logs, b, i) + _log_comb(logs, wrong - b, draws - i)
            accuracy[possible] += np.exp(ways - _log_comb(logs, np.array(wrong), draws))
        return accuracy

    def _check(self, truth: Floats, prediction: Floats) -> None:
        if truth.shape != prediction.shape or truth.ndim < 2:
            raise ValueError(
                f"logits have shapes {list(truth.shape)} and {list(prediction.shape)}; both must be the same [..., C]"
            )
        if truth.shape[-1] < self.classes:
            raise ValueError(
                f"logits have {truth.shape[-1]} classes; {self.positives} correct and {self.n - 1} wrong are needed"
            )
        if not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
            raise UndefinedError("logits hold NaN or infinity")


TWO_WAY = NWay()
FIFTY_WAY = NWay(n=50)


def _log_comb(logs: Floats, n: NDArray[np.intp], k: int) -> Floats:
    """Return log C(n, k) from the logarithms of factorials."""
    return np.asarray(logs[n] - logs[k] - logs[n - k])


def _over_ties(accuracies: NDArray[np.float64], *, wrong: int, right: int) -> float:
    """Average over random orders of tied classes; `accuracies[j]` is for j wrong classes before every correct one."""
    orders = comb(wrong + right, right)
    return sum(comb(wrong - j + right - 1, right - 1) / orders * float(accuracies[j]) for j in range(wrong + 1))
