"""From volumes to the rows of clips: removal of drift, and the mean over the presentations of a clip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def detrend(
    bold: Floats, runs: Sequence[tuple[int, int]], *, tr: float, left_out: NDArray[np.bool_] | None = None
) -> Floats:
    """Return BOLD [T,V] after subtracting a polynomial from each run (first and end volume).

    The degree of the polynomial is 1 + duration / 150 s. Volumes that are `left_out`, [T], are neither fitted nor
    changed.
    """
    result = bold.copy()
    for start, end in runs:
        times = np.linspace(-1.0, 1.0, end - start)
        rows: slice | NDArray[np.int64] = slice(start, end)
        if left_out is not None and left_out[start:end].any():
            kept = np.flatnonzero(~left_out[start:end])
            if len(kept) == 0:
                continue
            rows, times = kept + start, times[kept]
        degree = min(1 + int((end - start) * tr / 150.0), len(times) - 1)
        basis = np.linalg.qr(np.polynomial.legendre.legvander(times, degree))[0].astype(np.float32)
        result[rows] -= basis @ (basis.T @ bold[rows])
    return result


def rows_of_clips(bold: Floats, volumes: Doubles, *, average: bool) -> Doubles:
    """Return each clip's row [N,V]: the mean over its presentations, or the first one; zeros if there is none.

    Between two volumes, values are interpolated.
    """
    valid = volumes >= 0
    if not average:
        valid &= np.cumsum(valid, axis=1) == 1
    rows = np.zeros((len(volumes), bold.shape[1]))
    for repeat in range(volumes.shape[1]):
        shown = valid[:, repeat]
        rows[shown] += _at(bold, volumes[shown, repeat])
    rows /= np.maximum(valid.sum(axis=1, keepdims=True), 1)
    return rows


def _at(bold: Floats, times: Doubles) -> NDArray[Any]:
    """Return BOLD [T,V] at `times` in volumes, [n,V]."""
    before = np.floor(times).astype(np.int64)
    part = (times - before)[:, None]
    if not part.any():
        return bold[before]
    return np.asarray((1 - part) * bold[before] + part * bold[np.ceil(times).astype(np.int64)])
