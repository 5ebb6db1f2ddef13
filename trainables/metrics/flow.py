"""End-point error (EPE) of optical flow between truth and reconstruction (mind-animator.md C.1).

A flow is `float32 [F-1, H, W, 2]`, in pixels per frame interval. Its scale depends on resolution and frame rate: twice
the size is twice the error. A static prediction scores the mean length of the true flow. Few published reconstructions
are better, so always report EPE together with the static control.
"""

from collections.abc import Sequence
from itertools import islice, pairwise, product
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Bools, Clip, Floats, UndefinedError, map_in_threads

Grey: TypeAlias = Literal["rgb", "bgr"]
"""Weights of the conversion of RGB frames to grey: RGB, or BGR as in the released code (mind-animator.md B34)."""
_GREY = {"rgb": cv2.COLOR_RGB2GRAY, "bgr": cv2.COLOR_BGR2GRAY}


def farneback(clip: Clip, *, grey: Grey = "rgb", threads: int = 1) -> Floats:
    """Return the flow `[F-1, H, W, 2]` from each frame of `clip` `[F, H, W, 3]` to the next.

    Farneback's method with the parameters of the paper's code: pyramid scale 0.5, 3 levels, window 15, 3 iterations,
    poly_n 5, sigma 1.2.

    Raises:
        UndefinedError: The clip has only one frame.
    """
    return farneback_all([clip], grey=grey, threads=threads)[0]


def farneback_all(clips: Sequence[Clip], *, grey: Grey = "rgb", threads: int = 1) -> list[Floats]:
    """Return the flows of several clips, each as `farneback` does. All frame pairs share one thread pool."""
    if any(len(clip) < 2 for clip in clips):
        raise UndefinedError("one frame has no flow")
    pairs = [pair for clip in clips for pair in pairwise(grey_frames(clip, grey=grey))]
    flows = iter(map_in_threads(_flow, pairs, threads=threads))
    return [np.stack(list(islice(flows, len(clip) - 1))) for clip in clips]


def grey_frames(clip: Clip, *, grey: Grey) -> list[NDArray[np.uint8]]:
    """Return the frames of `clip` `[F, H, W, 3]` converted to grey, `[H, W]` each."""
    return [np.asarray(cv2.cvtColor(frame, _GREY[grey]), dtype=np.uint8) for frame in clip]


def _flow(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> NDArray[np.float32]:
    before, after = pair
    start = np.empty((*before.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(before, after, start, 0.5, 3, 15, 3, 5, 1.2, 0), dtype=np.float32)


def flow_error(truth: Floats, prediction: Floats, *, mask: Bools | None = None) -> float:
    """Return the mean end-point error in pixels of two flows `[F-1, H, W, 2]`, over pixels, then over frame pairs.

    Args:
        truth: Flow of the true clip. Compute it once for all systems.
        prediction: Flow of the reconstruction.
        mask: `[F, H, W]` or `[F-1, H, W]`, the pixels to average over, at the first frame of each pair; all by default.

    Raises:
        ValueError: The shapes differ.
        UndefinedError: The mask is empty for some frame pair.

    Example:
        >>> still, moving = np.zeros((1, 8, 8, 2), np.float32), np.full((1, 8, 8, 2), [3, 4], np.float32)
        >>> flow_error(moving, moving), flow_error(moving, still)
        (0.0, 5.0)
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"true flow is {list(truth.shape)} but predicted flow is {list(prediction.shape)}")
    if mask is None:
        return float(
            np.mean(
                [
                    _lengths(true - predicted).mean(dtype=np.float64)
                    for true, predicted in zip(truth, prediction, strict=True)
                ]
            )
        )
    chosen = mask[: len(truth)]
    empty = np.flatnonzero(~chosen.any(axis=(1, 2)))
    if empty.size:
        raise UndefinedError(f"the mask is empty in frame {', '.join(map(str, empty))}")
    pairs = zip(truth, prediction, chosen, strict=True)
    return float(
        np.mean([_lengths(true - predicted)[where].mean(dtype=np.float64) for true, predicted, where in pairs])
    )


def _lengths(flow: Floats) -> Floats:
    # Not by cv2.magnitude: it rounds by where the array lies in memory, so that two runs differ in their last digits.
    squares = flow * flow
    return np.asarray(np.sqrt(squares[..., 0] + squares[..., 1]), dtype=np.float32)


def transition_errors(
    flows: Floats, prediction: Clip, *, own: Floats | None = None, grey: Grey = "rgb", threads: int = 1
) -> Floats:
    """Return `[F-1, F, F]`: the error of the predicted flow from frame i to frame j against the true flow t.

    With it, `shuffle.reorder` gives the EPE of any order of the predicted frames. So all shuffles together need only
    the F(F-1) flows between all pairs of frames. The diagonal is the error of a flow of zero.

    Args:
        flows: Flows of the true clip, `[F-1, H, W, 2]`.
        prediction: `[F, H, W, 3]`.
        own: Its flows, if they are known.
        grey: Weights of the conversion to grey.
        threads: Number of frame pairs computed in parallel.
    """
    frames = grey_frames(prediction, grey=grey)

    def errors(pair: tuple[int, ...]) -> list[float]:
        before, after = pair
        if own is not None and after == before + 1:
            flow = own[before]
        else:
            flow = _flow((frames[before], frames[after])) if before != after else np.zeros_like(flows[0])
        return [float(_lengths(true - flow).mean(dtype=np.float64)) for true in flows]

    count = len(frames)
    rows = map_in_threads(errors, product(range(count), repeat=2), threads=threads)
    return np.array(rows).T.reshape(count - 1, count, count)
