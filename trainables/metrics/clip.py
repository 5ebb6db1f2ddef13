"""What every video metric shares: the shape of a clip, and the answer "not defined here".

A clip is `uint8 [F, H, W, 3]`, RGB, 0 to 255. A metric takes one pair of clips and returns one float, or raises
`UndefinedError` with the reason: a metric never returns NaN.
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
    """The metric has no value for this clip; the message says why."""


def check_pair(truth: Clip, prediction: Clip) -> None:
    """Raise `ValueError` unless both are RGB clips of one shape."""
    for name, clip in (("truth", truth), ("prediction", prediction)):
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or clip.size == 0:
            raise ValueError(f"{name} is {clip.dtype} {list(clip.shape)}; uint8 [frames, height, width, 3] is needed")
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {list(truth.shape)} but prediction is {list(prediction.shape)}")


def map_in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> list[_Result]:
    """Map over `items`, on a pool when `threads` is above 1. OpenCV releases the interpreter, so threads pay.

    OpenCV's own threads rest meanwhile: they would split small images among cores that all have work.
    """
    if threads <= 1:
        return list(map(function, items))
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, items))
    finally:
        cv2.setNumThreads(own)
