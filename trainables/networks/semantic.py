"""The semantic decoder: fMRI to CLIP space, and from there to the text condition (mind-animator.md A.1)."""

import itertools
import math

import torch
from torch import Tensor, nn

from trainables.config.decoders import SemanticConfig
from trainables.networks.dropout import Dropout

LOGIT_SCALE = math.log(1 / 0.07)
"""Start of the learned scale of cosines, as in CLIP."""


class Residual(nn.Module):
    """Residual connection around `layers`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x + layers(x)`, [B, width]."""
        total: Tensor = x + self.layers(x)
        return total


def mlp_block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Return the block of the paper's encoders: Linear, LayerNorm, GELU, Dropout."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU(), Dropout(dropout))


def first_linear(module: nn.Module) -> nn.Linear:
    """Return the first linear layer of `module`."""
    return next(layer for layer in module.modules() if isinstance(layer, nn.Linear))


class SemanticDecoder(nn.Module):
    """A residual MLP from voxels to the CLIP embedding f, and an MLP from f to the text condition.

    If the hidden width is that of CLIP, as in the paper (512), the trunk ends in f. Otherwise a linear layer follows.
    """

    def __init__(self, config: SemanticConfig, *, voxels: int, clip_dim: int, condition: tuple[int, int]) -> None:
        """Create an untrained network. `condition` is (tokens, width), without the begin token."""
        super().__init__()
        self.condition = condition
        self.trunk = nn.Linear(voxels, clip_dim) if config.linear_trunk else _trunk(config, voxels, clip_dim)
        widths = (clip_dim, *config.head_hidden, math.prod(condition))
        layers = ((nn.LayerNorm(a), nn.GELU(), nn.Linear(a, b)) for a, b in itertools.pairwise(widths))
        self.head = nn.Sequential(*itertools.chain.from_iterable(layers))
        self.logit_scale = nn.Parameter(torch.full((), LOGIT_SCALE))
        """Logarithm of the inverse temperature, the same for both contrastive pairs."""

    def forward(self, fmri: Tensor) -> tuple[Tensor, Tensor]:
        """Turn fMRI [B, V] into the embedding [B, D] and the condition [B, L-1, C]."""
        embedding = self.trunk(fmri)
        return embedding, self.head(embedding).unflatten(-1, self.condition)

    @property
    def voxel_layers(self) -> tuple[nn.Linear, ...]:
        """The layer that reads the voxels."""
        return (first_linear(self.trunk),)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """All linear layers, from voxels to the text condition."""
        return tuple(layer for layer in self.modules() if isinstance(layer, nn.Linear))


def _trunk(config: SemanticConfig, voxels: int, clip_dim: int) -> nn.Sequential:
    blocks = (Residual(mlp_block(config.hidden, config.hidden, config.dropout)) for _ in range(config.trunk_blocks))
    to_clip = nn.Identity() if config.hidden == clip_dim else nn.Linear(config.hidden, clip_dim)
    return nn.Sequential(mlp_block(voxels, config.hidden, config.dropout_input), *blocks, to_clip)
