"""A variational autoencoder of single frames: five convolutions with stride 2, mirrored; a latent without places.

After Han et al. 2019: five layers each way. Sizes of kernels, channels and normalisation are ours. Batch normalisation
would compute other statistics for each worker's part of a batch, and normalising each frame would lose its colour and
contrast. So channels are normalised by their statistics over some training frames before the first step (Krähenbühl et
al. 2016, arXiv:1511.06856), and a row's result depends on that row alone.
"""

from typing import cast

import torch
from torch import Tensor, nn

from trainables.config.frame_networks import HALVINGS, AutoencoderConfig

_KERNEL = 4
_LOG_VARIANCE = 8.0
"""Largest absolute log variance of the latent: exp of more is not finite in a few steps."""

_SMALLEST_SPREAD = 1e-3


class Autoencoder(nn.Module):
    """Frames [B,3,S,S] in [0, 1] to a latent [B,L] and back."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.base * 2**layer for layer in range(HALVINGS)]
        self.side = config.resolution // 2**HALVINGS
        self.width = widths[-1]
        places = self.width * self.side**2
        self.encoder = nn.Sequential(
            *(_down(before, after) for before, after in zip((3, *widths), widths, strict=False)), nn.Flatten()
        )
        self.moments = nn.Linear(places, 2 * config.latent)
        self.start = nn.Linear(config.latent, places)
        self.decoder = nn.Sequential(
            *(_up(before, after) for before, after in zip(widths[::-1], widths[-2::-1], strict=False)),
            nn.ConvTranspose2d(widths[0], 3, _KERNEL, stride=2, padding=1),
            nn.Sigmoid(),
        )

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Set the statistics of all layers from some frames [n,3,S,S]."""
        layers = [module for module in self.modules() if isinstance(module, _Normalised)]
        for layer in layers:
            layer.measures = True
        self.decode(self.encode(frames)[0])
        for layer in layers:
            layer.measures = False

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latent of frames [B,3,S,S], both [B,L]."""
        mean, log_variance = self.moments(self.encoder(frames)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE)

    def decode(self, latent: Tensor) -> Tensor:
        """Return frames [B,3,S,S] in [0, 1] of latents [B,L]."""
        first = torch.relu(self.start(latent)).view(-1, self.width, self.side, self.side)
        return cast(Tensor, self.decoder(first))

    def forward(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames drawn from the latent, [B,3,S,S], and its divergence from a standard normal one, [B].

        Args:
            frames: [B,3,S,S] in [0, 1].
            noise: Standard normal, [B,L].
        """
        mean, log_variance = self.encode(frames)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(dim=1)
        return self.decode(mean + (0.5 * log_variance).exp() * noise), divergence


class _Normalised(nn.Module):
    """Channels of [B,C,h,w], less their mean and divided by their standard deviation over frames seen before."""

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.measures = False
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("spread", torch.ones(channels, 1, 1))
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised values."""
        if self.measures:
            self.mean = values.mean(dim=(0, 2, 3))[:, None, None]
            self.spread = values.std(dim=(0, 2, 3)).clamp(min=_SMALLEST_SPREAD)[:, None, None]
        return (values - self.mean) / self.spread * self.gain + self.offset


def _down(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, _KERNEL, stride=2, padding=1), _Normalised(after), nn.ReLU())


def _up(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, _KERNEL, stride=2, padding=1), _Normalised(after), nn.ReLU())
