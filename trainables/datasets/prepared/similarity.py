"""Finds clips that look nearly equal by 64-bit difference hashes, as in image search."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clips import Frames

NEAR = 4
"""Bits by which hashes of nearly equal pictures may differ."""
_ROWS = 512


def difference_hash(frames: Frames) -> int:
    """Return 64 bits of the middle frame of [F, H, W, 3]: whether it grows brighter from left to right, on 8 x 9 cells.

    Source: Krawetz, "Kind of like that", 2013. It is the same after resizing and mild coding.
    """
    grey = np.asarray(frames[len(frames) // 2], dtype=np.float32).mean(axis=-1)
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def near_pairs(hashes: Sequence[int], groups: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices in different groups whose hashes differ in at most `NEAR` bits.

    Pictures without contrast have the hash 0 and are left out.
    """
    bits = np.array(hashes, np.uint64)
    group: NDArray[np.int64] = np.unique(np.array(groups), return_inverse=True)[1]
    for start in range(0, len(bits), _ROWS):
        rows = slice(start, start + _ROWS)
        near = np.bitwise_count(bits[rows, None] ^ bits[None, :]) <= NEAR
        near &= (group[rows, None] != group[None, :]) & (bits[rows, None] != 0) & (bits[None, :] != 0)
        for row, column in np.argwhere(near).tolist():
            if start + row < column:
                yield start + row, column
