"""The Consistency Motion Generator (mind-animator.md A.3, A.5), and the per-frame MLPs that replace it in Table 6.

One network handles all patch sizes. A latent frame [c, h, w] is cut into P = (h / p) (w / p) patches of c p p values
each; with p = h a frame is one token. If a patch has exactly the token width, it is not projected, as in the paper's
flat model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from trainables.config.decoders import MotionConfig
from trainables.kinds import of_kind
from trainables.networks.attention import AdaptiveNorm, Attention, UnbiasedNorm, patch_codes, sinusoids
from trainables.networks.dropout import Dropout
from trainables.networks.masks import inference_mask
from trainables.networks.patches import cut, join
from trainables.networks.ridge import RidgeMotion
from trainables.networks.semantic import Residual, first_linear, mlp_block
from trainables.networks.small_patches import SmallPatchGenerator
from trainables.networks.structure import StructureDecoder

_LAYER_NORMS: Mapping[str, Callable[[int], nn.Module]] = {"torch": nn.LayerNorm, "unbiased": UnbiasedNorm}
"""`motion.layer_norm` to the class of the norm."""


class FmriEncoder(nn.Module):
    """Emb(x) of eq. 7: fMRI to K tokens.

    With one token this is the paper's encoder. Several tokens share its layers. Each multiplies the hidden units by its
    own learned gate, so that the keys of attention differ. This adds K x hidden parameters.
    """

    def __init__(self, config: MotionConfig, voxels: int) -> None:
        super().__init__()
        hidden, in_block = config.encoder_hidden, config.encoder_block_dropout
        self.layers = nn.Sequential(
            mlp_block(voxels, hidden, config.encoder_dropout),
            Residual(mlp_block(hidden, hidden, config.encoder_dropout if in_block is None else in_block)),
        )
        several = config.fmri_tokens > 1
        self.gates = nn.Parameter(torch.randn(config.fmri_tokens, hidden)) if several else None
        self.out = nn.Linear(hidden, config.width)

    def forward(self, fmri: Tensor) -> Tensor:
        """Turn fMRI [B, V] into tokens [B, K, W]."""
        hidden = self.layers(fmri)[:, None]
        tokens: Tensor = self.out(hidden if self.gates is None else hidden * self.gates)
        return tokens


class Sublayer(nn.Module):
    """The paper's post-norm: x + LN(Dropout(update)). With `adaptive`, the norm depends on the fMRI (eq. 12)."""

    def __init__(self, config: MotionConfig, *, adaptive: bool = False) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.adaptive = AdaptiveNorm(config.width) if adaptive else None
        self.norm = None if adaptive else layer_norm(config)

    def forward(self, x: Tensor, update: Tensor, fmri: Tensor) -> Tensor:
        """Return `x` plus the normalised `update`, all [B, P, F, W], given `fmri` [B, K, W]."""
        dropped = self.dropout(update)
        if self.norm is not None:
            normed: Tensor = self.norm(dropped)
            return x + normed
        assert self.adaptive is not None
        adapted: Tensor = self.adaptive(dropped, fmri)
        return x + adapted


class CmgBlock(nn.Module):
    """Temporal module, spatial module and feed-forward layer (eq. 7, 8, 11, 12).

    Temporal module: self-attention over the frames of each patch position. With `temporal_fusion` "cross", cross-
    attention to the fMRI follows (eq. 11); with "adaln" its norm is adaptive (eq. 12).

    Spatial module: with `spatial_fusion` "cross" every token attends to the fMRI (eq. 7), with "self" to the patches of
    its frame (no fMRI), with "adaln" to these with an adaptive norm. The paper's figure of its variants is not
    available (mind-animator.md A.5).
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.temporal = _attention(config)
        self.temporal_add = Sublayer(config, adaptive=config.temporal_fusion == "adaln")
        self.temporal_cross = _attention(config) if config.temporal_fusion == "cross" else None
        self.temporal_cross_add = Sublayer(config) if config.temporal_fusion == "cross" else None
        self.spatial = _attention(config)
        self.spatial_from_fmri = config.spatial_fusion == "cross"
        self.spatial_add = Sublayer(config, adaptive=config.spatial_fusion == "adaln")
        hidden = nn.Sequential(nn.ReLU(), Dropout(config.ffn_dropout)) if config.ffn_dropout > 0 else nn.ReLU()
        self.ffn = nn.Sequential(
            nn.Linear(config.width, config.ffn_width), hidden, nn.Linear(config.ffn_width, config.width)
        )
        self.ffn_add = Sublayer(config)

    def forward(self, z: Tensor, fmri: Tensor, mask: Tensor) -> Tensor:
        """Transform tokens `z` [B, P, F, W], given `fmri` [B, K, W] and `mask` [B or 1, F, F]."""
        z = self.temporal_add(z, self._over_frames(z, mask), fmri)
        if self.temporal_cross is not None and self.temporal_cross_add is not None:
            z = self.temporal_cross_add(z, _to_fmri(self.temporal_cross, z, fmri), fmri)
        spatial = _to_fmri(self.spatial, z, fmri) if self.spatial_from_fmri else self._over_patches(z)
        z = self.spatial_add(z, spatial, fmri)
        out: Tensor = self.ffn_add(z, self.ffn(z), fmri)
        return out

    def _over_frames(self, z: Tensor, mask: Tensor) -> Tensor:
        by_patch = z.flatten(0, 1)
        if mask.shape[0] != 1:
            mask = mask.repeat_interleave(z.shape[1], dim=0)
        attended: Tensor = self.temporal(by_patch, by_patch, mask)
        return attended.view_as(z)

    def _over_patches(self, z: Tensor) -> Tensor:
        by_frame = z.transpose(1, 2)
        flat = by_frame.flatten(0, 1)
        attended: Tensor = self.spatial(flat, flat)
        return attended.view(by_frame.shape).transpose(1, 2)


def layer_norm(config: MotionConfig) -> nn.Module:
    """Return an untrained layer norm of the tokens, in the form of `motion.layer_norm`."""
    return of_kind(_LAYER_NORMS, config.layer_norm, field="motion.layer_norm")(config.width)


def _attention(config: MotionConfig) -> Attention:
    return Attention(config.width, inner=config.attention_width, heads=config.heads, dropout=config.attention_dropout)


def _to_fmri(attention: Attention, z: Tensor, fmri: Tensor) -> Tensor:
    attended: Tensor = attention(z.flatten(1, 2), fmri)
    return attended.view_as(z)


class MotionGenerator(nn.Module):
    """The Consistency Motion Generator (CMG): from frames 1..t and the fMRI to frames 2..t+1."""

    def __init__(self, config: MotionConfig, *, voxels: int, video: Sequence[int]) -> None:
        """Create an untrained network for latent videos of shape `video`, [F, c, h, w] with h = w."""
        super().__init__()
        self.config = config
        self.frames, *self.latent = video
        channels, side, _ = self.latent
        grid = side // config.patch_size
        values = channels * config.patch_size**2
        projected = values != config.width
        self.encoder = FmriEncoder(config, voxels)
        self.embed = nn.Linear(values, config.width) if projected else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(CmgBlock(config) for _ in range(config.depth))
        self.norm = layer_norm(config)
        self.unembed = nn.Linear(config.width, values) if projected else nn.Identity()
        codes = sinusoids(self.frames, config.width)
        if grid > 1:
            codes = codes + patch_codes(grid, config.width)[:, None]
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, frames: Tensor, fmri: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict the next latent of each of `frames` [B, T, c, h, w] from fMRI [B, V]; `mask` as in `masks`."""
        return self._next(frames, self.encoder(fmri), mask)

    def roll_out(self, first: Tensor, fmri: Tensor) -> Tensor:
        """Return the video [B, F, c, h, w] that starts with `first` [B, c, h, w] and is continued greedily."""
        tokens = self.encoder(fmri)
        video = [first]
        while len(video) < self.frames:
            video.append(self._next(torch.stack(video, dim=1), tokens, None)[:, -1])
        return torch.stack(video, dim=1)

    @property
    def voxel_layers(self) -> tuple[nn.Linear, ...]:
        """The layer that reads the voxels."""
        return (first_linear(self.encoder),)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The linear layers of the fMRI encoder."""
        return tuple(layer for layer in self.encoder.modules() if isinstance(layer, nn.Linear))

    def _next(self, frames: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            mask = inference_mask(self.config, frames=frames.shape[1], device=frames.device)
        codes: Tensor = self.get_buffer("codes")[..., : frames.shape[1], :]
        z = self.dropout(self.embed(cut(frames, self.config.patch_size)) + codes)
        for block in self.blocks:
            z = block(z, tokens, mask)
        return join(self.unembed(self.norm(z)), self.latent)


class PerFrameMlps(nn.Module):
    """Table 6's "w/o motion": independent MLPs, one for each frame, from fMRI to latent.

    The paper does not describe their architecture; here each is a structure decoder (mind-animator.md X06).
    """

    def __init__(self, config: MotionConfig, *, voxels: int, video: Sequence[int]) -> None:
        """Create untrained MLPs for latent videos of shape `video`, [F, c, h, w]."""
        super().__init__()
        frames, *latent = video
        self.frames = nn.ModuleList(
            StructureDecoder(voxels, latent, hidden=config.mlp_hidden, residual_layers=2, dropout=config.dropout)
            for _ in range(frames)
        )

    def forward(self, fmri: Tensor) -> Tensor:
        """Turn fMRI [B, V] into latents [B, F, c, h, w]."""
        return torch.stack([decode(fmri) for decode in self.frames], dim=1)

    def roll_out(self, first: Tensor, fmri: Tensor) -> Tensor:
        """Return a video [B, F, c, h, w] that starts with `first` [B, c, h, w]. Other frames do not depend on it."""
        video: Tensor = self(fmri)
        return torch.cat((first[:, None], video[:, 1:]), dim=1)

    @property
    def voxel_layers(self) -> tuple[nn.Linear, ...]:
        """The layer of each frame's MLP that reads the voxels."""
        return tuple(first_linear(frame) for frame in self.frames)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The first linear layer of the second frame's MLP. The structure decoder provides the first frame."""
        return tuple(layer for layer in self.frames[1].modules() if isinstance(layer, nn.Linear))[:1]


NextFrameGenerator: TypeAlias = MotionGenerator | SmallPatchGenerator
"""Predicts each frame from the frames before it and the fMRI."""
MotionDecoder: TypeAlias = NextFrameGenerator | PerFrameMlps | RidgeMotion
MOTION_DECODERS: Mapping[str, type[MotionDecoder]] = {
    "cmg": MotionGenerator,
    "cmg_small_patch": SmallPatchGenerator,
    "per_frame_mlp": PerFrameMlps,
    "ridge": RidgeMotion,
}
"""`motion.kind` to the class of the network."""


def motion_decoder(config: MotionConfig, *, voxels: int, video: Sequence[int]) -> MotionDecoder:
    """Return an untrained decoder of the config's kind, for latent videos of shape `video`, [F, c, h, w]."""
    return of_kind(MOTION_DECODERS, config.kind, field="motion.kind")(config, voxels=voxels, video=video)
