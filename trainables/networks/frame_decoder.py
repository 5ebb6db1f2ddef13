"""From fMRI to the frames of a video, and the errors of frames that it is trained by.

Layers and errors are those of the same group's code for images (WeizmannVision/SelfSuperReconst), with all frames as
channels of one image. The error of differences between frames is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.config.kupershmidt import SIDE_FACTOR, UnseeConfig
from trainables.networks.clip_encoder import ClipEncoder

_BLOCK_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.2)
"""Of the maps of a network's blocks, in their order; 10, 10, 10, 10 and 2 in the authors' image code."""
_GROWTHS = 3


@dataclass(frozen=True)
class FrameShape:
    """The size of decoded videos."""

    frames: int
    side: int


class FrameDecoder(nn.Module):
    """fMRI [B,V] to frames [B,F,3,H,W] in [0, 1]."""

    def __init__(self, config: UnseeConfig, *, shape: FrameShape, voxels: int) -> None:
        super().__init__()
        side, channels = shape.side // SIDE_FACTOR, config.channels
        self.first = (channels, side, side)
        self.frames = shape.frames
        self.start = nn.Linear(voxels, channels * side * side)
        layers: list[nn.Module] = []
        for _ in range(_GROWTHS):
            layers += [
                nn.Upsample(scale_factor=2, mode="bicubic", align_corners=False),
                _convolution(channels, channels, config.kernel),
                nn.GroupNorm(channels // 2, channels),
                nn.SiLU(),
            ]
        self.grow = nn.Sequential(*layers, _convolution(channels, 3 * shape.frames, config.kernel), nn.Sigmoid())

    def forward(self, fmri: Tensor) -> Tensor:
        """Return frames [B,F,3,H,W]."""
        pictures: Tensor = self.grow(self.start(fmri).view(-1, *self.first))
        return pictures.view(len(fmri), self.frames, 3, *pictures.shape[2:])


def _convolution(before: int, after: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, padding_mode="reflect")


class FrozenCycle(nn.Module):
    """The decoder, with the errors of what it makes of fMRI, measured or predicted."""

    def __init__(self, config: UnseeConfig, network: ConvolutionalNetwork, *, shape: FrameShape, voxels: int) -> None:
        """`network` is frozen and no part of the module."""
        super().__init__()
        self._network = (network,)
        self.config = config
        self.decoder = FrameDecoder(config, shape=shape, voxels=voxels)

    def forward(self, fmri: Tensor, truth: Tensor) -> Tensor:
        """Return the loss [B] of each clip: of fMRI [B,V] and true frames [B,F,3,H,W]."""
        return self.errors(self.decoder(fmri), truth)

    def errors(self, made: Tensor, truth: Tensor) -> Tensor:
        """Return the weighted errors [B] of decoded frames."""
        config = self.config
        total = config.pixel * _mean(made - truth)
        if config.perceptual > 0:
            total = total + config.perceptual * perceptual_error(self._network[0], made, truth)
        if config.total_variation > 0:
            total = total + config.total_variation * (_mean(made.diff(dim=-1)) + _mean(made.diff(dim=-2)))
        if config.temporal > 0:
            total = total + config.temporal * _mean(made.diff(dim=1) - truth.diff(dim=1))
        return total


class TrainedCycle(nn.Module):
    """The same, with an encoder that is trained on: from unpaired clips to fMRI and back."""

    def __init__(self, frozen: FrozenCycle, encoder: ClipEncoder) -> None:
        super().__init__()
        self.frozen, self.encoder = frozen, encoder

    @property
    def decoder(self) -> FrameDecoder:
        """The decoder."""
        return self.frozen.decoder

    def forward(self, fmri: Tensor, paired: Tensor, unpaired: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of paired clips [B], that of unpaired ones [B], and the predicted fMRI of the paired [B,V].

        Args:
            fmri: Measured, [B,V].
            paired: The true frames [B,F,3,H,W].
            unpaired: Frames of other clips [B,F,3,H,W].
            noise: Added to their predicted fMRI, [B,V].
        """
        # Not joined: dropout draws for a batch, of which the input may be the part of a worker.
        predicted, external = self.encoder(paired), self.encoder(unpaired)
        losses = self.frozen(torch.cat((fmri, external + noise)), torch.cat((paired, unpaired)))
        own, others = losses.split(len(fmri))
        return own, others, predicted


def perceptual_error(network: ConvolutionalNetwork, made: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - the cosine of maps of frames [B,F,3,H,W], [B]: mean over places, frames and the network's blocks."""
    layers = network.architecture.blocks
    weights = _weights(layers)
    of_made = network.maps(made.flatten(0, 1), layers)
    with torch.no_grad():
        of_truth = network.maps(truth.flatten(0, 1), layers)
    distances = [
        weight * (1.0 - F.cosine_similarity(of_made[name], of_truth[name], dim=1, eps=1e-6)).mean(dim=(1, 2))
        for name, weight in zip(layers, weights, strict=True)
    ]
    return torch.stack(distances).sum(dim=0).view(made.shape[:2]).mean(dim=1)


def _weights(layers: Sequence[str]) -> list[float]:
    weights = [_BLOCK_WEIGHTS[min(number, len(_BLOCK_WEIGHTS) - 1)] for number in range(len(layers))]
    return [weight / sum(weights) for weight in weights]


def _mean(differences: Tensor) -> Tensor:
    return differences.abs().mean(dim=(1, 2, 3, 4))
