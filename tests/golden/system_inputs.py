"""Fixed inputs that stages of further systems find, of a generator of their own: no other input changes by them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FILTERS = 30
Files = dict[str, Any]


def system_inputs(*, count: int, voxels: int) -> dict[str, Files]:
    """Return stage to the files that others read, for `count` clips and this number of voxels."""
    rng = np.random.default_rng(2)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    encoded = {"predicted": normal(count, voxels), "r": np.tanh(normal(2, voxels))}
    return {
        "energy": {"energy.safetensors": {"energy": normal(count, FILTERS)}},
        "encode": {"encode.safetensors": encoded},
    }
