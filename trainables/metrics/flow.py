"""End-point error of optical flow: does the reconstruction move as the truth does (mind-animator.md C.1, EPE)?

A flow is `float32 [F-1, H, W, 2]`, in pixels per frame interval, so its scale depends on resolution and frame rate:
twice the size is twice the error. A still prediction scores the mean length of the true flow, which few published
reconstructions beat: never report EPE without that control.
"""

from collections.abc import Sequence
from itertools import islice, pairwise, product
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Bools, Clip, Floats, UndefinedError, map_in_threads

Grey: TypeAlias = Literal["rgb", "bgr"]
"""How RGB frames become grey: by their own weights, or by those of BGR (released code: mind-animator.md B34)."""
_GREY = {"rgb": cv2.COLOR_RGB2GRAY, "bgr": cv2.COLOR_BGR2GRAY}


def farneback(clip: Clip, *, grey: Grey = "rgb", threads: int = 1) -> Floats:
    """Return the flow `[F-1, H, W, 2]` from each frame of `clip` `[F, H, W, 3]` to the next.

    Farneback's method as the paper's code calls it: pyramid scale 0.5, 3 levels, window 15, 3 iterations, poly_n 5,
    sigma 1.2.

    Raises:
        UndefinedError: the clip has one frame.
    """
    return farneback_all([clip], grey=grey, threads=threads)[0]


def farneback_all(clips: Sequence[Clip], *, grey: Grey = "rgb", threads: int = 1) -> list[Floats]:
    """Return the flows of several clips, as `farneback` does; no thread idles between one clip and the next."""
    if any(len(clip) < 2 for clip in clips):
        raise UndefinedError("one frame has no flow")
    pairs = [pair for clip in clips for pair in pairwise(grey_frames(clip, grey=grey))]
    flows = iter(map_in_threads(_flow, pairs, threads=threads))
    return [np.stack(list(islice(flows, len(clip) - 1))) for clip in clips]


def grey_frames(clip: Clip, *, grey: Grey) -> list[NDArray[np.uint8]]:
    """Return the frames of `clip` `[F, H, W, 3]` as grey `[H, W]`."""
    return [np.asarray(cv2.cvtColor(frame, _GREY[grey]), dtype=np.uint8) for frame in clip]


def _flow(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> NDArray[np.float32]:
    before, after = pair
    start = np.empty((*before.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(before, after, start, 0.5, 3, 15, 3, 5, 1.2, 0), dtype=np.float32)


def flow_error(truth: Floats, prediction: Floats, *, mask: Bools | None = None) -> float:
    """Return the mean over flows of the mean over pixels of the distance between two flows `[F-1, H, W, 2]`.

    Args:
        truth: flow of the true clip; compute it once for all systems.
        prediction: flow of the reconstruction.
        mask: `[F, H, W]` or `[F-1, H, W]`, the pixels that count at the earlier frame of each flow; all by default.

    Raises:
        UndefinedError: the mask is empty at some flow.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"true flow is {list(truth.shape)} but predicted flow is {list(prediction.shape)}")
    if mask is None:
        return float(
            np.mean(
                [_lengths(one - other).mean(dtype=np.float64) for one, other in zip(truth, prediction, strict=True)]
            )
        )
    chosen = mask[: len(truth)]
    empty = np.flatnonzero(~chosen.any(axis=(1, 2)))
    if empty.size:
        raise UndefinedError(f"the mask is empty in frame {', '.join(map(str, empty))}")
    pairs = zip(truth, prediction, chosen, strict=True)
    return float(np.mean([_lengths(one - other)[where].mean(dtype=np.float64) for one, other, where in pairs]))


def _lengths(flow: Floats) -> Floats:
    return np.asarray(cv2.magnitude(flow[..., 0], flow[..., 1]), dtype=np.float32)


def transition_errors(flows: Floats, prediction: Clip, *, grey: Grey = "rgb", threads: int = 1) -> Floats:
    """Return `[F-1, F, F]`: the error at true flow t of the predicted flow from frame i to frame j.

    From it `shuffle.reorder` reads the EPE of any order of the predicted frames, so that a hundred shuffles cost the
    F(F-1) flows between all pairs of frames, and nothing more. The diagonal is a pair that does not move.

    Args:
        flows: Of the true clip, `[F-1, H, W, 2]`.
        prediction: `[F, H, W, 3]`.
        grey: How frames are made grey.
        threads: How many pairs of frames are computed at a time.
    """
    frames = grey_frames(prediction, grey=grey)

    def errors(pair: tuple[int, ...]) -> list[float]:
        before, after = pair
        flow = _flow((frames[before], frames[after])) if before != after else np.zeros_like(flows[0])
        return [float(_lengths(true - flow).mean(dtype=np.float64)) for true in flows]

    count = len(frames)
    rows = map_in_threads(errors, product(range(count), repeat=2), threads=threads)
    return np.array(rows).T.reshape(count - 1, count, count)
