"""fMRI of a window of volumes to the tokens on which a diffusion model is conditioned, and to CLIP space."""

import torch
from torch import Tensor, nn

from trainables.config.mindvideo import TokensConfig
from trainables.networks.dropout import Dropout
from trainables.networks.fmri_encoder import EncoderSizes, PatchEncoder
from trainables.networks.semantic import LOGIT_SCALE


class TokensNetwork(nn.Module):
    """The fMRI encoder with Mind-Video's projection head, and a linear layer from the mean token to CLIP space.

    The head maps all tokens of the window to L tokens, and their width to that of the condition, with a residual layer
    (fmri_encoder.py, commit 5097206). The layer to CLIP space is ours: how they compare tokens with CLIP is not known.
    """

    def __init__(
        self,
        config: TokensConfig,
        sizes: EncoderSizes,
        *,
        window: int,
        condition: tuple[int, int],
        clip_dim: int,
    ) -> None:
        """Create an untrained network. `condition` is the number of tokens L and their width C."""
        super().__init__()
        tokens, width = condition
        self.encoder = PatchEncoder(sizes, temporal=window > 1)
        self.mixer = nn.Linear(sizes.patches * window, tokens, bias=False)
        self.projection = nn.Linear(sizes.width, width, bias=False)
        self.inner = nn.Sequential(nn.GELU(), nn.Linear(width, width, bias=False), Dropout(config.dropout))
        self.to_clip = nn.Linear(width, clip_dim)
        self.logit_scale = nn.Parameter(torch.full((), LOGIT_SCALE))
        """Logarithm of the inverse temperature, the same for both contrasts."""

    def forward(self, fmri: Tensor) -> tuple[Tensor, Tensor]:
        """Turn fMRI [B, W, V] into the embedding [B, D] and the tokens [B, L, C]."""
        tokens = self.encoder(fmri).flatten(1, 2)
        projected = self.projection(self.mixer(tokens.transpose(1, 2)).transpose(1, 2))
        condition = projected + self.inner(projected)
        return self.to_clip(condition.mean(dim=1)), condition
