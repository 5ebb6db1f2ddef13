"""Fixed inputs for the stages of `mindvideo_like`: small networks whose weights are drawn by numpy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trainables.config.mindvideo import PremaskConfig
from trainables.networks.fmri_encoder import MaskedFmriModel

_TRAIN = {"epochs": 2, "batch_size": 5, "warmup_steps": 2}
_SIZES = {"patch": 5, "width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}
MINDVIDEO: Mapping[str, Any] = {
    "premask": {**_SIZES, "train": _TRAIN},
    "tokens": {"augment": {"mask": 0.1, "interpolate": 0.5}, "train": _TRAIN},
}
"""Sections of the config."""


def mindvideo_files(*, voxels: int) -> dict[str, dict[str, Any]]:
    """Return what the stages leave, for fMRI of this number of voxels."""
    rng = np.random.default_rng(7)
    masked = MaskedFmriModel(PremaskConfig.model_validate(_SIZES), voxels=voxels)
    facts = {"voxels": masked.encoder.sizes.voxels}
    return {"premask": {"model.safetensors": _weights(rng, masked), "premask.json": facts}}


def _weights(rng: np.random.Generator, network: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {
        name: (0.3 * rng.normal(size=tuple(tensor.shape))).astype(np.float32)
        for name, tensor in network.state_dict().items()
    }
