"""Fixed settings and inputs of the systems that are trained on pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.backbones.layers import load_layers
from trainables.config.kupershmidt import SeeConfig
from trainables.networks.clip_encoder import ClipEncoder

_TRAIN = {"epochs": 2, "batch_size": 5, "warmup_steps": 2}
PIXEL_SYSTEMS: Mapping[str, Any] = {
    "gan": {"resolution": 16, "base": 2, "embedding": 8, "noise": 4, "train": _TRAIN},
    "see": {"resolution": 32, "planes": 2, "train": _TRAIN},
    "unsee": {"channels": 2, "unpaired": 0.5, "train": _TRAIN},
    "autoencoder": {"resolution": 32, "base": 2, "latent": 4, "train": _TRAIN},
    "map_inverse": {"channels": 4, "train": _TRAIN},
}


def pixel_files(*, voxels: int, frames: int) -> dict[str, dict[str, Any]]:
    """Return what the stage `see` would have left, with weights that do not depend on how torch draws them."""
    config = SeeConfig.model_validate(PIXEL_SYSTEMS["see"])
    rng = np.random.default_rng(5)
    state = ClipEncoder(config, load_layers("phantom"), frames=frames, voxels=voxels).state_dict()
    weights = {name: np.asarray(rng.normal(size=tuple(t.shape)) / 8, np.float32) for name, t in state.items()}
    scales = {name: np.ones((), np.float32) for name in weights if name.endswith("scale")}
    return {"see": {"model.safetensors": {**weights, **scales}}}
