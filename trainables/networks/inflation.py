"""Inflation of an image diffusion model to video: frames attend to the first and to the previous frame (eq. 10).

A plain diffusers UNet gets other attention processors, and the frames of a clip are rows of one batch. No weight is
copied, added or trained.
"""

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


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
