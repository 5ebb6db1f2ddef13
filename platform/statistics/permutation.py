"""Agreement of two tables of effects against chance: exact permutation tests over the conditions.

If a paper's order of conditions says nothing about ours, every assignment of our rows to its rows is equally likely.
The p is the share of assignments that agree at least as well as the observed one. It accounts for effects of which
nearly all have the same sign: "everything gets worse" agrees in nearly every cell under every assignment.
"""

import math
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from platform.statistics.paired import Values

Order: TypeAlias = NDArray[np.int64]
EXACT = 7
"""The number of conditions up to which all assignments are computed: 5,040."""
DRAWN = 9_999
_SEED = 0
_TIE = 1e-9


def kendall(published: Values, ours: Values) -> tuple[float, float]:
    """Return Kendall's tau-b of two orders of n conditions, and the one-sided permutation p of agreement.

    NaN and 1 if all values of one are equal.
    """
    observed = _tau(published, ours)
    if math.isnan(observed):
        return observed, 1.0
    return observed, _p(len(ours), observed, lambda order: _tau(published, ours[order]))


def sign_agreement(published: Values, ours: Values) -> tuple[int, float]:
    """Return how many signs of two tables [conditions, metrics] agree, and the permutation p of as many.

    0 and NaN (no effect, not significant, not published) agree with nothing.
    """
    signs, own = np.nan_to_num(np.sign(published)), np.nan_to_num(np.sign(ours))

    def agreeing(order: Order) -> float:
        return float((signs * own[order] > 0).sum())

    observed = agreeing(np.arange(len(own), dtype=np.int64))
    return int(observed), _p(len(own), observed, agreeing)


def _tau(published: Values, ours: Values) -> float:
    return float(stats.kendalltau(published, ours).statistic)


def _p(n: int, observed: float, statistic: Callable[[Order], float]) -> float:
    values = np.array([statistic(order) for order in _orders(n)])
    hits = int((values >= observed - _TIE).sum())
    return hits / len(values) if n <= EXACT else (1 + hits) / (1 + len(values))


def _orders(n: int) -> Iterator[Order]:
    if n <= EXACT:
        yield from (np.array(order, dtype=np.int64) for order in permutations(range(n)))
        return
    rng = np.random.default_rng(_SEED)
    for _ in range(DRAWN):
        yield rng.permutation(n).astype(np.int64)
