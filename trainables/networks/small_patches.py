"""The other motion network of the released code, which it uses for patch sizes below 64 (mind-animator.md B44).

Against the `MotionGenerator`, norms come before the sublayers and have no weights, the temporal attention has no norm,
the feed-forward layer has a GELU, the fMRI goes through SiLU and one linear layer, and the last layer starts at zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.config.decoders import MotionConfig
from trainables.networks.attention import Attention
from trainables.networks.masks import inference_mask
from trainables.networks.patches import cut, join

_EPS = 1e-6


class SmallPatchBlock(nn.Module):
    """Temporal attention, attention to the fMRI, and a feed-forward layer."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        width, sizes = config.width, {"inner": config.width, "heads": config.heads}
        self.temporal = Attention(width, **sizes, dropout=0.0)
        self.spatial_norm = nn.LayerNorm(width, elementwise_affine=False, eps=_EPS)
        self.spatial = Attention(width, **sizes, dropout=config.attention_dropout)
        self.ffn_norm = nn.LayerNorm(width, elementwise_affine=False, eps=_EPS)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.ffn_width), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_width, width)
        )
        self.unused = nn.ModuleDict(
            {
                "modulation": nn.Linear(width, 2 * width),
                "norm": nn.LayerNorm(width),
                "linear": nn.Linear(width, width),
            }
        )
        """Layers that the released code creates and does not use: they count in its size and are in its checkpoints."""

    def forward(self, z: Tensor, fmri: Tensor, mask: Tensor) -> Tensor:
        """Transform tokens `z` [B, P, F, W], given `fmri` [B, 1, W] and `mask` [B or 1, F, F]."""
        by_patch = z.flatten(0, 1)
        if mask.shape[0] != 1:
            mask = mask.repeat_interleave(z.shape[1], dim=0)
        z = z + self.temporal(by_patch, by_patch, mask).view_as(z)
        z = z + self.spatial(self.spatial_norm(z).flatten(1, 2), fmri).view_as(z)
        updated: Tensor = z + self.ffn(self.ffn_norm(z))
        return updated


class SmallPatchGenerator(nn.Module):
    """From frames 1..t and the fMRI to frames 2..t+1, with the network of the released code for small patches."""

    def __init__(self, config: MotionConfig, *, voxels: int, video: Sequence[int]) -> None:
        """Create a network with the released code's initial weights for latent videos of shape `video`, [F,c,h,w]."""
        super().__init__()
        self.config = config
        self.frames, *self.latent = video
        channels, side, _ = self.latent
        values = channels * config.patch_size**2
        self.embed = nn.Linear(values, config.width)
        self.encoder = nn.Sequential(nn.SiLU(), nn.Linear(voxels, config.width))
        self.unused = nn.Linear(voxels, config.width)
        """As in `SmallPatchBlock`."""
        self.blocks = nn.ModuleList(SmallPatchBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False, eps=_EPS)
        self.unembed = nn.Linear(config.width, values)
        codes = _codes(torch.arange(self.frames), config.width)
        self.register_buffer("codes", codes + _patch_codes(side // config.patch_size, config.width)[:, None], False)
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.unembed.weight)

    def forward(self, frames: Tensor, fmri: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict the next latent of each of `frames` [B, T, c, h, w] from fMRI [B, V]; `mask` as in `masks`."""
        if mask is None:
            mask = inference_mask(self.config, frames=frames.shape[1], device=frames.device)
        codes: Tensor = self.get_buffer("codes")[:, : frames.shape[1]]
        z, tokens = self.embed(cut(frames, self.config.patch_size)) + codes, self.encoder(fmri)[:, None]
        for block in self.blocks:
            z = block(z, tokens, mask)
        return join(self.unembed(self.norm(z)), self.latent)

    def roll_out(self, first: Tensor, fmri: Tensor) -> Tensor:
        """Return the video [B, F, c, h, w] that starts with `first` [B, c, h, w] and is continued greedily."""
        video = [first]
        while len(video) < self.frames:
            video.append(self(torch.stack(video, dim=1), fmri)[:, -1])
        return torch.stack(video, dim=1)

    @property
    def voxel_layers(self) -> tuple[nn.Linear, ...]:
        """The layer that reads the voxels."""
        return self.fmri_layers

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The linear layer of the fMRI."""
        return tuple(layer for layer in self.encoder if isinstance(layer, nn.Linear))


def _codes(positions: Tensor, width: int) -> Tensor:
    """Return fixed codes [positions, width]: sines in the first half, cosines of the same angles in the second."""
    angles = positions[:, None].double() / 10_000 ** (torch.arange(width // 2).double() / (width / 2))
    return torch.cat((angles.sin(), angles.cos()), dim=1).float()


def _patch_codes(side: int, width: int) -> Tensor:
    """Return codes [side * side, width] of the patches of a frame: the column's in the first half, then the row's."""
    steps = torch.arange(side)
    columns, rows = _codes(steps.repeat(side), width // 2), _codes(steps.repeat_interleave(side), width // 2)
    return torch.cat((columns, rows), dim=1)
