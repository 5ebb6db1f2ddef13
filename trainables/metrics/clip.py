"""Types and helpers of all video metrics: the clip, and the error for an undefined value.

A clip is `uint8 [F, H, W, 3]`, RGB, 0 to 255. A metric takes a pair of clips and returns a float. If the value is
undefined, it raises `UndefinedError` with the reason. A metric never returns NaN.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Clip: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class UndefinedError(ValueError):
    """The metric is undefined for this clip. The message gives the reason."""


def check_pair(truth: Clip, prediction: Clip) -> None:
    """Raise `ValueError` unless both are RGB clips of the same shape."""
    for name, clip in (("truth", truth), ("prediction", prediction)):
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or clip.size == 0:
            raise ValueError(f"{name} is {clip.dtype} {list(clip.shape)}; it must be uint8 [frames, height, width, 3]")
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth is {list(truth.shape)} but prediction is {list(prediction.shape)}; shapes must be equal"
        )


def map_in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> list[_Result]:
    """Return `function(item)` for each of `items`, on a thread pool if `threads` is above 1. OpenCV releases the GIL.

    OpenCV's own threads are disabled meanwhile: they would take more cores than were granted.
    """
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if threads <= 1:
            return list(map(function, items))
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, items))
    finally:
        cv2.setNumThreads(own)
