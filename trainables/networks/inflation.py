"""Inflation of an image diffusion model to video: frames attend to earlier frames (eq. 10).

A plain diffusers UNet gets other attention processors, and the frames of a clip are rows of one batch. No weight is
copied, added or trained.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from trainables.config.video import GeneratorConfig
from trainables.kinds import of_kind
from trainables.networks.attention import attend


class EarlierFrames:
    """Self-attention with the keys and values of two earlier frames of the clip."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the attention output of `hidden_states`, both [clips * frames, tokens, channels], frames innermost."""
        rows, tokens, _ = hidden_states.shape
        if rows % self.frames != 0:
            raise ValueError(f"there are {rows} rows; they must be a multiple of {self.frames} frames")
        query = self._heads(attn, attn.to_q(hidden_states))
        key = self._heads(attn, self._earlier(attn.to_k(hidden_states)))
        value = self._heads(attn, self._earlier(attn.to_v(hidden_states)))
        gathered = attend(query, key, value)
        gathered = gathered.transpose(1, 2).reshape(rows, tokens, -1)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](gathered))
        return mixed

    def two_earlier(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two earlier frames of each frame of `clips` [clips, frames, tokens, channels], of its shape."""
        raise NotImplementedError

    def _earlier(self, projected: Tensor) -> Tensor:
        """Turn [clips * frames, tokens, channels] into [clips * frames, 2 * tokens, channels]."""
        clips = projected.view(-1, self.frames, *projected.shape[1:])
        return torch.cat(self.two_earlier(clips), dim=2).flatten(0, 1)

    @staticmethod
    def _heads(attn: Attention, projected: Tensor) -> Tensor:
        rows, tokens, channels = projected.shape
        return projected.view(rows, tokens, attn.heads, channels // attn.heads).transpose(1, 2)


class FirstAndPreviousFrame(EarlierFrames):
    """Self-attention to the clip's first frame and to the previous frame (eq. 10)."""

    def two_earlier(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first frame and the previous one; both are the first one for the first frame."""
        return clips[:, :1].expand_as(clips), torch.cat([clips[:, :1], clips[:, :-1]], dim=1)


class TwoPreviousFrames(EarlierFrames):
    """Self-attention to the two previous frames, as in the code of Mind-Video (commit 5097206, attention.py)."""

    def two_earlier(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames i-2 and i-1 of each frame i; before the first frame there is the first one."""
        previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
        return torch.cat([previous[:, :1], previous[:, :-1]], dim=1), previous


_KINDS: Mapping[str, type[EarlierFrames]] = {
    "first_and_previous": FirstAndPreviousFrame,
    "two_previous": TwoPreviousFrames,
}
"""`generator.attention` to the attention of frames."""


def inflate(unet: UNet2DConditionModel, *, frames: int, attention: str = "first_and_previous") -> UNet2DConditionModel:
    """Change `unet` so that its input rows [clips * frames, channels, h, w] are clips of `frames` frames. Return it.

    Weights and text cross-attention stay the same. `unet.set_attn_processor(AttnProcessor2_0())` undoes it.

    Raises:
        ValueError: There is no such kind of `attention`.
    """
    inflated, plain = of_kind(_KINDS, attention, field="generator.attention")(frames), AttnProcessor2_0()
    unet.set_attn_processor({name: inflated if ".attn1." in name else plain for name in unet.attn_processors})
    return unet


class NormOverFrames(nn.Module):
    """A group norm whose mean and variance are over all frames of a clip, with the parameters of `norm`."""

    def __init__(self, norm: nn.GroupNorm, *, frames: int) -> None:
        super().__init__()
        self.norm, self.frames = norm, frames

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` [clips * frames, channels, h, w], frames innermost."""
        clips = x.view(-1, self.frames, *x.shape[1:]).transpose(1, 2)
        normed: Tensor = self.norm(clips)
        return normed.transpose(1, 2).flatten(0, 1)


def normalise_over_frames(unet: UNet2DConditionModel, *, frames: int) -> UNet2DConditionModel:
    """Let group norms of `unet` run over the `frames` frames of a clip, as in the released code. Return it.

    These are the norms of the residual blocks and of the output; those of transformers stay per frame (mind-animator.md
    B55). No weight is changed.
    """
    for name, module in list(unet.named_modules()):
        if isinstance(module, nn.GroupNorm) and (".resnets." in name or name == "conv_norm_out"):
            parent, _, own = name.rpartition(".")
            setattr(unet.get_submodule(parent), own, NormOverFrames(module, frames=frames))
    return unet


def as_video_unet(unet: Any, config: GeneratorConfig, *, frames: int) -> Any:
    """Change the attention and the norms of `unet` as `config` says, for clips of `frames` frames. Return it."""
    if config.attention != "own_frame":
        inflate(unet, frames=frames, attention=config.attention)
    if config.norm == "all_frames":
        normalise_over_frames(unet, frames=frames)
    return unet


def add_temporal_biases(unet: UNet2DConditionModel, *, seed: int) -> UNet2DConditionModel:
    """Add to the output of every transformer block of `unet` the same random number per channel. Return it.

    In the released code these are the initial biases of temporal attentions, whose weights are zero and which are never
    trained: uniform within 1 / sqrt(channels), as torch initialises them (mind-animator.md B16).
    """
    generator = torch.Generator().manual_seed(seed)
    for block in transformer_blocks(unet):
        channels = block.norm1.normalized_shape[0]
        bias = (2 * torch.rand(channels, generator=generator) - 1) / channels**0.5
        block.register_forward_hook(partial(_add, bias))
    return unet


def transformer_blocks(unet: UNet2DConditionModel) -> Iterator[Any]:
    """Return the transformer blocks of `unet`."""
    return (module for module in unet.modules() if isinstance(module, BasicTransformerBlock))


def _add(bias: Tensor, block: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output + bias.to(output)
