"""Fixed inputs that stages of further systems find, of a generator of their own: no other input changes by them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FILTERS = 30
SHIPPED_CLIP = 64
"""Width of the shipped CLIP's embeddings, which `retrieve` compares with those that are stored."""
Files = dict[str, Any]


def system_inputs(*, count: int, voxels: int) -> dict[str, Files]:
    """Return stage to the files that others read, for `count` clips and this number of voxels."""
    rng = np.random.default_rng(2)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    encoded = {"predicted": normal(count, voxels), "r": np.tanh(normal(2, voxels))}
    energy = normal(count, FILTERS)
    encoded["across_folds"] = encoded["predicted"]
    maps = {"maps": normal(count, 1, 6, 6, 6), "penultimate": normal(count, 1, 5), "scores": normal(count, 1, 8)}
    network = {"filters": normal(6, 3, 11, 11), "score_weight": normal(8, 5), "score_bias": normal(8)}
    facts = {"layer": "conv1", "log": 0.01, "stride": 4, "padding": 0, "side": 32, "mean": [0.5] * 3, "std": [0.2] * 3}
    embeddings = {"clip_image": normal(count, SHIPPED_CLIP)}
    return {
        "features_of_retrieve": {"features.safetensors": embeddings},
        "energy": {"energy.safetensors": {"energy": energy}},
        "encode": {"encode.safetensors": encoded},
        "layers": {"layers.safetensors": maps, "network.safetensors": network, "layers.json": facts},
    }
