"""Flow metrics of whole clips in one call: what tests compare with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.metrics import flow
from trainables.metrics.clip import check_pair

Clip = NDArray[np.uint8]
Flows = NDArray[Any]


def end_point_error(truth: Clip, prediction: Clip, *, grey: flow.Grey = "rgb", threads: int = 1) -> float:
    """Return the end-point error in pixels per frame interval of two clips `[F, H, W, 3]`."""
    check_pair(truth, prediction)
    return flow.flow_error(*flow.farneback_all((truth, prediction), grey=grey, threads=threads))


def static_error(truth: Flows, *, mask: NDArray[np.bool_] | None = None) -> float:
    """Return what a prediction without motion scores against the true flow `[F-1, H, W, 2]`."""
    return flow.flow_error(truth, np.zeros_like(truth), mask=mask)
