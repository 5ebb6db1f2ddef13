"""Trains the phantom's convolutional network, whose layers encoders and perceptual losses read."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.backbones.architectures import ARCHITECTURES
from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.judges import IMAGE, degrade, optimise
from trainables.backbones.layers import save_layers
from trainables.backbones.material import TRAINING, draw_clips
from trainables.datasets.phantom.stimuli import SIDE

ARCHITECTURE = "phantom_cnn"
_BATCH = 64


def build_layers() -> ConvolutionalNetwork:
    """Return the untrained network (0.19 M parameters)."""
    return ConvolutionalNetwork(
        ARCHITECTURES[ARCHITECTURE],
        classes=len(IMAGE.labels),
        side=int(SIDE),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


def train_layers(out: Path, *, seed: int, steps: int) -> None:
    """Train it to name shape and colour of single frames, a part of them degraded, and save it to `out`."""
    torch.manual_seed(seed)
    network = build_layers()
    rng = np.random.default_rng(seed)

    def loss(step: int) -> Tensor:
        drawn = draw_clips(TRAINING, seed=(seed + 1) * 10_000_000 + step, count=_BATCH, frames=1)
        frames = (degrade(drawn.clips, rng)[:, 0] + 1.0) / 2.0
        return F.cross_entropy(network(frames).scores, torch.from_numpy(IMAGE.truth(drawn.factors)))

    optimise(network, loss, steps=steps, name="layers")
    save_layers(network, out, architecture=ARCHITECTURE)
