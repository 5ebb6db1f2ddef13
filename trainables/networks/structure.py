"""The structure decoder: fMRI to the first frame's latent (mind-animator.md A.2)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from trainables.networks.dropout import Dropout
from trainables.networks.semantic import Residual, first_linear


class StructureDecoder(nn.Module):
    """Linear residual layers, then LayerNorm, ReLU and a linear layer to the latent. Also used as an MLP of Table 6."""

    def __init__(
        self, voxels: int, latent: Sequence[int], *, hidden: int, residual_layers: int, dropout: float
    ) -> None:
        """Create an untrained network for a latent of shape `latent`, [c, h, w]."""
        super().__init__()
        self.latent = tuple(latent)
        residuals = (Residual(nn.Linear(hidden, hidden), Dropout(dropout)) for _ in range(residual_layers))
        self.layers = nn.Sequential(
            nn.Linear(voxels, hidden),
            Dropout(dropout),
            *residuals,
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, math.prod(latent)),
        )

    def forward(self, fmri: Tensor) -> Tensor:
        """Turn fMRI [B, V] into latents [B, c, h, w]."""
        latent: Tensor = self.layers(fmri).unflatten(-1, self.latent)
        return latent

    @property
    def voxel_layers(self) -> tuple[nn.Linear, ...]:
        """The layer that reads the voxels."""
        return (first_linear(self.layers),)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The first linear layer only, as in the released code (mind-animator.md C.4)."""
        return tuple(layer for layer in self.layers if isinstance(layer, nn.Linear))[:1]
