"""Parts of the motion network: attention, adaptive layer norm, and fixed position codes."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.dropout import Dropout

SEQUENCES = 65_535
"""Sequences times heads of one call: CUDA's kernels number them in a part of a grid that is no larger."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax(query key^T / sqrt(C)) value: `query` [B, heads, Q, C], the others [B, heads, K, C].

    Only where `mask` (bool [B or 1, 1, Q, K]) is true is anything attended to. More than `SEQUENCES` are computed in
    several calls.
    """
    size = max(1, SEQUENCES // query.shape[1])
    if len(query) <= size:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    pieces = []
    for first in range(0, len(query), size):
        part = slice(first, first + size)
        own = mask if mask is None or len(mask) == 1 else mask[part]
        pieces.append(F.scaled_dot_product_attention(query[part], key[part], value[part], attn_mask=own))
    return torch.cat(pieces)


class Attention(nn.Module):
    """Multi-head attention. The inner width may differ from the token width (paper: tokens 16384, inner 1024)."""

    def __init__(self, width: int, *, inner: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, tokens: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let `tokens` [B, Q, W] attend to `source` [B, K, W] where `mask` (bool [B or 1, Q, K]) is true: [B, Q, W]."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, tokens), (self.key, source), (self.value, source))
        )
        heads_mask = None if mask is None else mask[:, None]
        if self.training and self.dropout.p > 0:
            attended = self._attend(query, key, heads_mask) @ value
        else:
            attended = attend(query, key, value, heads_mask)
        mixed: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return mixed

    def _attend(self, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """Return attention weights [B, heads, Q, K], as torch's. Dropout can be drawn for a part of a batch."""
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        kept: Tensor = self.dropout(scores.softmax(-1))
        return kept


class UnbiasedNorm(nn.Module):
    """Layer norm of the released code: (x - mean) / (s + 1e-6), s the unbiased standard deviation.

    At small s it differs from torch's, which adds 1e-5 to the variance (mind-animator.md A9).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` [..., W] normalised over its last axis, scaled and shifted."""
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * centred / (x.std(-1, keepdim=True) + 1e-6) + self.bias


class AdaptiveNorm(nn.Module):
    """Layer norm whose scale and shift depend on the fMRI (eq. 12). It is initialised as a plain layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, tokens: Tensor, fmri: Tensor) -> Tensor:
        """Return normalised `tokens` [B, P, F, W]. The mean of the `fmri` tokens [B, K, W] gives scale and shift."""
        shift, scale = self.modulation(F.silu(fmri.mean(1)))[:, None, None].chunk(2, dim=-1)
        adapted: Tensor = self.norm(tokens) * (1 + scale) + shift
        return adapted


def sinusoids(positions: int, width: int) -> Tensor:
    """Return the fixed sine and cosine codes [positions, width] of Vaswani et al. (2017)."""
    half = torch.arange(0, width, 2)
    angles = torch.arange(positions)[:, None] * torch.exp(half * (-math.log(10_000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width]


def patch_codes(side: int, width: int) -> Tensor:
    """Return codes [side * side, width] of the patches of a frame: one half encodes the row, the other the column."""
    rows = sinusoids(side, width - width // 2).repeat_interleave(side, dim=0)
    columns = sinusoids(side, width // 2).repeat(side, 1)
    return torch.cat((rows, columns), dim=1)
