"""Spectral normalisation whose power iteration is a step of its own.

`torch.nn.utils.parametrizations.spectral_norm` iterates in every forward pass. A batch that is computed in parts, or a
part of it twice, would then meet other weights. Here the forward pass is a function of weights and buffers alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

_FIRST_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """Divides a weight [out, ...] by its largest singular value, as estimated by the last power iteration.

    Source: Miyato et al. 2018, arXiv:1802.05957.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight` divided by the estimate."""
        return weight / (self.left @ weight.flatten(1) @ self.right)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """Improve the estimate by one power iteration."""
        matrix = weight.detach().flatten(1)
        self.right.copy_(F.normalize(self.left @ matrix, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))


def normalised(layer: nn.Module) -> nn.Module:
    """Return `layer`, whose `weight` is now spectrally normalised."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))


def iterate(network: nn.Module) -> None:
    """Take one power iteration for every layer of `network` that is normalised."""
    for module in network.modules():
        if isinstance(module, parametrize.ParametrizationList):
            for parametrization in module:
                if isinstance(parametrization, SpectralNorm):
                    parametrization.iterate(module.original)
