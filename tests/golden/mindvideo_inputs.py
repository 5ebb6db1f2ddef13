"""Fixed inputs for the stages of `mindvideo_like`: small networks whose weights are drawn by numpy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trainables.config.mindvideo import PremaskConfig, TokensConfig
from trainables.networks.fmri_encoder import MaskedFmriModel
from trainables.networks.fmri_tokens import TokensNetwork

_TRAIN = {"epochs": 2, "batch_size": 5, "warmup_steps": 2}
_SIZES = {"patch": 5, "width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}
MINDVIDEO: Mapping[str, Any] = {
    "premask": {**_SIZES, "train": _TRAIN},
    "tokens": {"augment": {"mask": 0.1, "interpolate": 0.5}, "train": {**_TRAIN, "schedule": "constant"}},
    "cotrain": {"epoch_clips": 4, "validation_clips": 2, "noise_share": 0.2, "train": {**_TRAIN, "batch_size": 2}},
}
"""Sections of the config."""


def mindvideo_files(
    *, voxels: int, clip_dim: int, condition: tuple[int, int], held_out: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Return what the stages leave: for fMRI of this number of voxels, and conditions of this shape."""
    rng = np.random.default_rng(7)
    masked = MaskedFmriModel(PremaskConfig.model_validate(_SIZES), voxels=voxels)
    sizes = masked.encoder.sizes
    tokens = TokensNetwork(TokensConfig(), sizes, window=1, condition=condition, clip_dim=clip_dim)
    premask = {"model.safetensors": _weights(rng, masked), "premask.json": {"voxels": sizes.voxels}}
    conditions = {
        "condition": rng.normal(size=(len(held_out), *condition)).astype(np.float32),
        "index": held_out,
        "mean_train": rng.normal(size=condition).astype(np.float32),
        "mean_test": rng.normal(size=condition).astype(np.float32),
    }
    delta = {"mid_block.resnets.0.conv1.bias": 0.1 * rng.normal(size=96).astype(np.float32)}
    return {
        "premask": premask,
        "tokens": {"model.safetensors": _weights(rng, tokens)},
        "cotrain": {"delta.safetensors": delta, "conditions.safetensors": conditions},
    }


def _weights(rng: np.random.Generator, network: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {
        name: (0.3 * rng.normal(size=tuple(tensor.shape))).astype(np.float32)
        for name, tensor in network.state_dict().items()
    }
