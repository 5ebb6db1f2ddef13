"""How much the videos of a system differ from one another: a generator that has collapsed makes one for all clips."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.pixels import ssim

_PAIRS = 120
"""Pairs of videos that are compared at the most."""


def diversity(videos: NDArray[np.uint8], *, pairs: int = _PAIRS) -> float:
    """Return 1 - the mean SSIM of pairs of different videos uint8 [n,F,H,W,3]; 0 if all are the same video.

    Without a random draw: pairs of neighbours, then of those two apart, and so on. With one video it is 0.

    Example:
        >>> diversity(np.zeros((3, 2, 16, 16, 3), np.uint8))
        0.0
    """
    similarities = [ssim(videos[first], videos[second]) for first, second in _pairs(len(videos), pairs)]
    return 1.0 - float(np.mean(similarities)) if similarities else 0.0


def _pairs(count: int, most: int) -> Iterator[tuple[int, int]]:
    found = ((first, first + apart) for apart in range(1, count) for first in range(count - apart))
    for _, pair in zip(range(most), found, strict=False):
        yield pair
