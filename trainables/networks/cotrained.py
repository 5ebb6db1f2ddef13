"""A video diffusion model that is trained on clips under tokens decoded from fMRI, and its weights as a difference.

The temporal attention is that of Mind-Video's attention.py (commit 5097206): after the feed-forward layer of every
transformer block, each position attends to itself in all frames; the weight of its output is zero at the start.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from trainables.config.mindvideo import CotrainConfig
from trainables.config.video import GeneratorConfig
from trainables.networks.dropout import Dropout
from trainables.networks.fmri_tokens import TokensNetwork
from trainables.networks.inflation import as_video_unet, transformer_blocks

ADDED = "temporal"
"""Name of the added attention in a transformer block."""


class TemporalAttention(nn.Module):
    """Attention of each position to itself in all frames of a clip, with a residual connection.

    The authors leave the bias of the output at its random start; ours is zero, so that the untrained layer has no
    effect.
    """

    def __init__(self, channels: int, *, heads: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(query_dim=channels, heads=heads, dim_head=channels // heads)
        nn.init.zeros_(self.attention.to_out[0].weight)
        nn.init.zeros_(self.attention.to_out[0].bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the shape of `x`, [clips * frames, positions, channels], frames innermost."""
        clips = x.view(-1, self.frames, *x.shape[1:]).transpose(1, 2)
        series = self.norm(clips.flatten(0, 1))
        mixed: Tensor = self.attention(series).view_as(clips).transpose(1, 2).flatten(0, 1)
        return x + mixed


def video_unet(unet: Any, generator: GeneratorConfig, config: CotrainConfig, *, frames: int) -> Any:
    """Return `unet` as a video model: with the attention of frames that `generator` says, and what `config` adds."""
    video = as_video_unet(unet, generator, frames=frames)
    return add_temporal_attention(video, frames=frames) if config.temporal and config.parts != "none" else video


def add_temporal_attention(unet: Any, *, frames: int) -> Any:
    """Add temporal attention to the transformer blocks of `unet`, and return it.

    Weights come from torch's default generator.
    """
    for block in transformer_blocks(unet):
        added = TemporalAttention(block.norm1.normalized_shape[0], heads=block.attn1.heads, frames=frames)
        weight = block.norm1.weight
        block.add_module(ADDED, added.to(device=weight.device, dtype=weight.dtype))
        block.register_forward_hook(_attend_over_frames)
    return unet


def _attend_over_frames(block: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    attended: Tensor = block.get_submodule(ADDED)(output)
    return attended


def trained_names(unet: nn.Module, config: CotrainConfig) -> tuple[str, ...]:
    """Return the names of the parameters of `unet` that `config` trains."""
    parts = {"attention": (".attn1.", ".attn2.", f".{ADDED}."), "temporal": (f".{ADDED}.",), "all": ("",), "none": ()}
    return tuple(name for name, _ in unet.named_parameters() if any(part in f".{name}" for part in parts[config.parts]))


def without_foreign_dropout(network: nn.Module) -> nn.Module:
    """Replace torch's dropouts in `network` by ours, which draw alike however a batch is shared out. Return it."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout) and not isinstance(module, Dropout):
            parent, _, own = name.rpartition(".")
            network.get_submodule(parent)._modules[own] = Dropout(module.p)
    return network


class CotrainedNetwork(nn.Module):
    """The video diffusion model, and the fMRI encoder in front of it."""

    def __init__(self, unet: Any, tokens: TokensNetwork, config: CotrainConfig) -> None:
        """Train the parts that `config` names; all others are frozen."""
        super().__init__()
        self.unet, self.tokens = without_foreign_dropout(unet), tokens
        self.names = trained_names(self.unet, config)
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(name in set(self.names))
        for name, parameter in tokens.named_parameters():
            parameter.requires_grad_(config.encoder and not name.startswith(("to_clip", "logit_scale")))
        self.start = {name: value.detach().clone() for name, value in self._trained()}

    def _trained(self) -> Iterator[tuple[str, Tensor]]:
        wanted = set(self.names)
        return ((name, value) for name, value in self.unet.named_parameters() if name in wanted)

    def forward(self, noisy: Tensor, times: Tensor, fmri: Tensor) -> Tensor:
        """Return the predicted noise in `noisy` [B,F,c,h,w] at `times` [B], under the tokens of `fmri` [B,W,V]."""
        frames = noisy.shape[1]
        _, condition = self.tokens(fmri)
        rows = noisy.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        context = condition.to(rows.dtype).repeat_interleave(frames, dim=0)
        predicted = self.unet(rows, times.repeat_interleave(frames), encoder_hidden_states=context).sample
        return torch.as_tensor(predicted).view_as(noisy)

    def delta(self) -> dict[str, Tensor]:
        """Return what training added to the weights of the diffusion model; of added layers, their weights."""
        return {
            name: (value if f".{ADDED}." in name else value - self.start[name].to(value.device)).detach().contiguous()
            for name, value in self._trained()
        }


def add_delta(unet: Any, delta: Mapping[str, Tensor], *, frames: int) -> None:
    """Add the result of `CotrainedNetwork.delta` to the weights of the `unet` that the training started from.

    Layers that were added are added, for clips of `frames` frames.

    Raises:
        ValueError: A weight has another name or shape.
    """
    if any(f".{ADDED}." in name for name in delta):
        add_temporal_attention(unet, frames=frames)
    parameters = dict(unet.named_parameters())
    wrong = [name for name, value in delta.items() if name not in parameters or parameters[name].shape != value.shape]
    if wrong:
        raise ValueError(f"the UNet lacks {len(wrong)} weight(s) of the co-training, or has other shapes: {wrong[:3]}")
    with torch.no_grad():
        for name, value in delta.items():
            parameter, given = parameters[name], value.to(parameters[name].device)
            start = torch.zeros_like(given) if f".{ADDED}." in name else parameter.float()
            parameter.copy_(start + given)
