"""Inflation of an image diffusion model to video: frames attend to the first and to the previous frame (eq. 10).

A plain diffusers UNet gets other attention processors, and the frames of a clip are rows of one batch. No weight is
copied, added or trained.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class FirstAndPreviousFrame:
    """Self-attention with the keys and values of the clip's first frame and of the previous frame (eq. 10)."""

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
        key = self._heads(attn, self._first_and_previous(attn.to_k(hidden_states)))
        value = self._heads(attn, self._first_and_previous(attn.to_v(hidden_states)))
        gathered = F.scaled_dot_product_attention(query, key, value)
        gathered = gathered.transpose(1, 2).reshape(rows, tokens, -1)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](gathered))
        return mixed

    def _first_and_previous(self, projected: Tensor) -> Tensor:
        """Turn [clips * frames, tokens, channels] into [clips * frames, 2 * tokens, channels]."""
        clips = projected.view(-1, self.frames, *projected.shape[1:])
        first = clips[:, :1].expand_as(clips)
        previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
        return torch.cat([first, previous], dim=2).flatten(0, 1)

    @staticmethod
    def _heads(attn: Attention, projected: Tensor) -> Tensor:
        rows, tokens, channels = projected.shape
        return projected.view(rows, tokens, attn.heads, channels // attn.heads).transpose(1, 2)


def inflate(unet: UNet2DConditionModel, *, frames: int) -> UNet2DConditionModel:
    """Change `unet` so that its input rows [clips * frames, channels, h, w] are clips of `frames` frames. Return it.

    Weights and text cross-attention stay the same. `unet.set_attn_processor(AttnProcessor2_0())` undoes it.
    """
    inflated, plain = FirstAndPreviousFrame(frames), AttnProcessor2_0()
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


def add_temporal_biases(unet: UNet2DConditionModel, *, seed: int) -> UNet2DConditionModel:
    """Add to the output of every transformer block of `unet` the same random number per channel. Return it.

    In the released code these are the initial biases of temporal attentions, whose weights are zero and which are never
    trained: uniform within 1 / sqrt(channels), as torch initialises them (mind-animator.md B16).
    """
    generator = torch.Generator().manual_seed(seed)
    for block in _transformer_blocks(unet):
        channels = block.norm1.normalized_shape[0]
        bias = (2 * torch.rand(channels, generator=generator) - 1) / channels**0.5
        block.register_forward_hook(partial(_add, bias))
    return unet


def _transformer_blocks(unet: UNet2DConditionModel) -> Iterator[Any]:
    return (module for module in unet.modules() if isinstance(module, BasicTransformerBlock))


def _add(bias: Tensor, block: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output + bias.to(output)
