"""A transformer over patches of voxels and over volumes, and the masked model that pre-trains it.

Layers are those of Mind-Video's fmri_encoder.py (commit 5097206): a convolution to patches, fixed sine and cosine
positions, pre-norm blocks of attention over patches, attention over the volumes of a window, and a feed-forward layer.
The masked model has those of MIND-VIS (mae_for_fmri.py, commit 08d5386), without its class token.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.config.mindvideo import PremaskConfig
from trainables.networks.attention import Attention, sinusoids


class EncoderSizes(NamedTuple):
    """The sizes of an encoder."""

    patch: int
    """Voxels per patch."""
    patches: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float

    @property
    def voxels(self) -> int:
        """Voxels of the input, after they were repeated to fill the last patch."""
        return self.patch * self.patches


def sizes_of(config: PremaskConfig, *, voxels: int) -> EncoderSizes:
    """Return the sizes of the encoder for this number of voxels."""
    patches = -(-voxels // config.patch)
    return EncoderSizes(config.patch, patches, config.width, config.depth, config.heads, config.mlp_ratio)


def wrapped(fmri: Tensor, *, voxels: int) -> Tensor:
    """Return `fmri` [..., V] with its voxels repeated from the first one on, [..., voxels].

    The authors add a whole patch if V is a multiple of the patch already; we add none.

    Raises:
        ValueError: There are more voxels already.
    """
    own = fmri.shape[-1]
    if own > voxels:
        raise ValueError(f"the fMRI has {own} voxels; the encoder takes {voxels} at most")
    return fmri if own == voxels else fmri[..., torch.arange(voxels, device=fmri.device) % own]


def in_patches(fmri: Tensor, sizes: EncoderSizes) -> Tensor:
    """Return `fmri` [..., V], filled up, as patches [..., P, patch]."""
    return wrapped(fmri, voxels=sizes.voxels).reshape(*fmri.shape[:-1], sizes.patches, sizes.patch)


class Block(nn.Module):
    """Attention over patches, attention over the volumes of a window, and a feed-forward layer, each after a norm."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, temporal: bool) -> None:
        super().__init__()
        hidden = max(1, round(width * mlp_ratio))
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, inner=width, heads=heads, dropout=0.0)
        self.temporal_norm = nn.LayerNorm(width) if temporal else None
        self.temporal = Attention(width, inner=width, heads=heads, dropout=0.0) if temporal else None
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the shape of `x`, [B, W, P, width]: W volumes of P patches."""
        volumes = x.flatten(0, 1)
        normed = self.norm(volumes)
        x = x + self.attention(normed, normed).view_as(x)
        if self.temporal is not None and self.temporal_norm is not None:
            series = self.temporal_norm(x).transpose(1, 2)
            places = series.flatten(0, 1)
            x = x + self.temporal(places, places).view_as(series).transpose(1, 2)
        fed: Tensor = x + self.mlp(self.mlp_norm(x))
        return fed


class PatchEncoder(nn.Module):
    """fMRI of a window of volumes to a token per patch and volume."""

    codes: Tensor

    def __init__(self, sizes: EncoderSizes, *, temporal: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.patches = nn.Conv1d(1, sizes.width, kernel_size=sizes.patch, stride=sizes.patch)
        self.register_buffer("codes", sinusoids(sizes.patches, sizes.width), persistent=False)
        self.blocks = nn.ModuleList(
            Block(sizes.width, heads=sizes.heads, mlp_ratio=sizes.mlp_ratio, temporal=temporal)
            for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, fmri: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return tokens [B, W, P, width] of `fmri` [B, W, voxels], or those of the patches `visible` [B, K] alone."""
        filled = wrapped(fmri, voxels=self.sizes.voxels)
        tokens = self.patches(filled.flatten(0, 1)[:, None]).transpose(1, 2) + self.codes
        if visible is not None:
            rows = visible.repeat_interleave(fmri.shape[1], dim=0)
            tokens = tokens.gather(1, rows[..., None].expand(-1, -1, self.sizes.width))
        tokens = tokens.unflatten(0, fmri.shape[:2])
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Load the weights of a masked model's encoder; attention over volumes, which it lacks, begins with output 0.

        Raises:
            RuntimeError: They are of an encoder of another size.
        """
        added = {name for name, _ in self.named_parameters() if ".temporal" in name}
        missing, unexpected = self.load_state_dict(weights, strict=False)
        if unexpected or not set(missing) <= added:
            raise RuntimeError(f"the weights are of another encoder: {[*missing, *unexpected]}")
        for block in self.blocks:
            if isinstance(block, Block) and block.temporal is not None:
                nn.init.zeros_(block.temporal.out.weight)
                nn.init.zeros_(block.temporal.out.bias)

    def hold(self, blocks: int) -> None:
        """Keep the layer of patches and the first `blocks` blocks as they are, if `blocks` is at least 1."""
        if blocks > 0:
            for module in (self.patches, *self.blocks[:blocks]):
                module.requires_grad_(False)


class MaskedFmriModel(nn.Module):
    """Decodes hidden patches of a volume from those that are seen."""

    codes: Tensor

    def __init__(self, config: PremaskConfig, *, voxels: int) -> None:
        """Create an untrained model for volumes of `voxels` voxels."""
        super().__init__()
        sizes = sizes_of(config, voxels=voxels)
        width = config.decoder_width
        self.encoder = PatchEncoder(sizes, temporal=False)
        self.seen = max(1, int(sizes.patches * (1 - config.mask)))
        """Patches that are seen."""
        self.to_decoder = nn.Linear(sizes.width, width)
        self.hidden = nn.Parameter(torch.empty(width).normal_(std=0.02))
        """The token of a hidden patch."""
        self.register_buffer("codes", sinusoids(sizes.patches, width), persistent=False)
        self.blocks = nn.ModuleList(
            Block(width, heads=config.decoder_heads, mlp_ratio=config.mlp_ratio, temporal=False)
            for _ in range(config.decoder_depth)
        )
        self.norm = nn.LayerNorm(width)
        self.to_voxels = nn.Linear(width, sizes.patch)

    def forward(self, fmri: Tensor, order: Tensor) -> Tensor:
        """Return all patches [B, P, patch] of volumes `fmri` [B, voxels], decoded from the first `seen` of `order`.

        `order` [B, P] has the numbers of the patches of each volume in a random order.
        """
        visible = order[:, : self.seen]
        seen = self.to_decoder(self.encoder(fmri[:, None], visible)[:, 0])
        hidden = self.hidden.expand(len(fmri), order.shape[1] - self.seen, -1)
        tokens = torch.cat((seen, hidden), dim=1)
        places = order.argsort(dim=1)[..., None].expand(-1, -1, tokens.shape[-1])
        x = (tokens.gather(1, places) + self.codes)[:, None]
        for block in self.blocks:
            x = block(x)
        decoded: Tensor = self.to_voxels(self.norm(x[:, 0]))
        return decoded

    def hidden_error(self, decoded: Tensor, fmri: Tensor, order: Tensor) -> Tensor:
        """Return the squared errors of the hidden patches, [B, hidden, patch]."""
        sizes = self.encoder.sizes
        true = in_patches(fmri, sizes)
        places = order[:, self.seen :, None].expand(-1, -1, sizes.patch)
        return torch.square((decoded.float() - true).gather(1, places))
