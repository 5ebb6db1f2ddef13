"""An image diffusion model that draws video: every frame also attends to the first and to the previous one (eq. 10).

Nothing is copied, trained or added: a plain diffusers UNet is given other attention processors, and the frames of a
clip pass through it as rows of one batch.
"""

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


class FirstAndPreviousFrame:
    """Self-attention whose keys and values are those of the clip's first frame and of the frame before (eq. 10)."""

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
        """Return what each frame gathers; `hidden_states` is [clips * frames, tokens, channels], frames innermost."""
        rows, tokens, _ = hidden_states.shape
        if rows % self.frames != 0:
            raise ValueError(f"rows must be clips x {self.frames} frames, but got {rows}")
        query = self._heads(attn, attn.to_q(hidden_states))
        key = self._heads(attn, self._first_and_previous(attn.to_k(hidden_states)))
        value = self._heads(attn, self._first_and_previous(attn.to_v(hidden_states)))
        gathered = F.scaled_dot_product_attention(query, key, value)
        gathered = gathered.transpose(1, 2).reshape(rows, tokens, -1)
        mixed: Tensor = attn.to_out[1](attn.to_out[0](gathered))
        return mixed

    def _first_and_previous(self, projected: Tensor) -> Tensor:
        """[clips * frames, tokens, channels] to [clips * frames, 2 * tokens, channels]."""
        clips = projected.view(-1, self.frames, *projected.shape[1:])
        first = clips[:, :1].expand_as(clips)
        previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
        return torch.cat([first, previous], dim=2).flatten(0, 1)

    @staticmethod
    def _heads(attn: Attention, projected: Tensor) -> Tensor:
        rows, tokens, channels = projected.shape
        return projected.view(rows, tokens, attn.heads, channels // attn.heads).transpose(1, 2)


def inflate(unet: UNet2DConditionModel, *, frames: int) -> UNet2DConditionModel:
    """Let `unet` see clips of `frames` frames, as rows [clips * frames, channels, h, w]; its weights stay as they are.

    Text cross-attention stays per frame. Undone by `unet.set_attn_processor(AttnProcessor2_0())`.
    """
    own, plain = FirstAndPreviousFrame(frames), AttnProcessor2_0()
    names = unet.attn_processors
    unet.set_attn_processor({n: own if ".attn1." in n else plain for n in names})
    return unet
