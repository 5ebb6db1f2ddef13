"""Plain float64 computation of a generated video: the inflated UNet of A.4, its schedule and steps, in numpy alone.

A clip is one array [F, c, h, w]. Names of weights are those of Stable Diffusion v1-5.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.parity.references import Doubles, State, gelu, linear, norm


def silu(x: Doubles) -> Doubles:
    return np.asarray(x / (1 + np.exp(-x)))


def convolution(state: State, name: str, x: Doubles, *, stride: int = 1) -> Doubles:
    """A 3 x 3 convolution with a border of zeros, or one of 1 x 1, of every frame."""
    weight = state[f"{name}.weight"]
    side = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))[:, :, ::stride, ::stride]
    mixed = np.einsum("fchwij,ocij->fohw", windows, weight)
    return np.asarray(mixed + state[f"{name}.bias"][:, None, None])


def group_norm(state: State, name: str, x: Doubles, *, groups: int, eps: float, over_frames: bool) -> Doubles:
    """Mean and variance over a group and the pixels of a frame, or of all frames (mind-animator.md B55)."""
    parts = x.reshape(len(x), groups, -1, *x.shape[2:])
    axes = (0, 2, 3, 4) if over_frames else (2, 3, 4)
    scaled = (parts - parts.mean(axes, keepdims=True)) / np.sqrt(parts.var(axes, keepdims=True) + eps)
    weight, bias = (state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
    return np.asarray(scaled.reshape(x.shape) * weight + bias)


@dataclass(frozen=True)
class Unet:
    """The inflated UNet."""

    state: State
    groups: int
    heads: int
    over_frames: bool = False
    """Whether norms of residual blocks and of the output run over all frames."""
    own_frame: bool = False
    """Whether a frame attends to itself alone, as in the image model."""
    biases: Mapping[str, Doubles] | None = None
    """Name of a transformer block to what is added to its output (mind-animator.md B16)."""

    def __call__(self, clip: Doubles, time: int, condition: Doubles) -> Doubles:
        """Return the noise predicted in `clip` under `condition` [L, C]."""
        moment = self._embedded(time)
        x = convolution(self.state, "conv_in", clip)
        kept = [x]
        for name in self._blocks("down_blocks"):
            for number in self._numbers(f"{name}.resnets"):
                x = self._attended(
                    f"{name}.attentions.{number}", self._residual(f"{name}.resnets.{number}", x, moment), condition
                )
                kept.append(x)
            if self._has(f"{name}.downsamplers"):
                x = convolution(self.state, f"{name}.downsamplers.0.conv", x, stride=2)
                kept.append(x)
        x = self._layer("mid_block", 0, x, moment, condition)
        x = self._residual("mid_block.resnets.1", x, moment)
        for name in self._blocks("up_blocks"):
            for number in self._numbers(f"{name}.resnets"):
                x = np.concatenate((x, kept.pop()), axis=1)
                x = self._attended(
                    f"{name}.attentions.{number}", self._residual(f"{name}.resnets.{number}", x, moment), condition
                )
            if self._has(f"{name}.upsamplers"):
                x = convolution(self.state, f"{name}.upsamplers.0.conv", x.repeat(2, axis=2).repeat(2, axis=3))
        return convolution(self.state, "conv_out", silu(self._norm("conv_norm_out", x)))

    def _layer(self, name: str, number: int, x: Doubles, moment: Doubles, condition: Doubles) -> Doubles:
        x = self._residual(f"{name}.resnets.{number}", x, moment)
        return self._attended(f"{name}.attentions.{number}", x, condition)

    def _has(self, name: str) -> bool:
        return any(key.startswith(f"{name}.") for key in self.state)

    def _numbers(self, name: str) -> Iterator[int]:
        number = 0
        while self._has(f"{name}.{number}"):
            yield number
            number += 1

    def _blocks(self, level: str) -> Iterator[str]:
        return (f"{level}.{number}" for number in self._numbers(level))

    def _norm(self, name: str, x: Doubles) -> Doubles:
        return group_norm(self.state, name, x, groups=self.groups, eps=1e-5, over_frames=self.over_frames)

    def _embedded(self, time: int) -> Doubles:
        half = self.state["time_embedding.linear_1.weight"].shape[1] // 2
        angles = time * 10000 ** (-np.arange(half) / half)
        hidden = linear(self.state, "time_embedding.linear_1", np.concatenate((np.cos(angles), np.sin(angles))))
        return linear(self.state, "time_embedding.linear_2", silu(hidden))

    def _residual(self, name: str, x: Doubles, moment: Doubles) -> Doubles:
        h = convolution(self.state, f"{name}.conv1", silu(self._norm(f"{name}.norm1", x)))
        h = h + linear(self.state, f"{name}.time_emb_proj", silu(moment))[:, None, None]
        h = convolution(self.state, f"{name}.conv2", silu(self._norm(f"{name}.norm2", h)))
        return h + (convolution(self.state, f"{name}.conv_shortcut", x) if self._has(f"{name}.conv_shortcut") else x)

    def _attended(self, name: str, x: Doubles, condition: Doubles) -> Doubles:
        """A transformer; its own norm is over one frame in both profiles. Blocks without one change nothing."""
        if not self._has(name):
            return x
        frames, channels, height, width = x.shape
        h = group_norm(self.state, f"{name}.norm", x, groups=self.groups, eps=1e-6, over_frames=False)
        tokens = convolution(self.state, f"{name}.proj_in", h).reshape(frames, channels, -1).swapaxes(1, 2)
        for number in self._numbers(f"{name}.transformer_blocks"):
            tokens = self._block(f"{name}.transformer_blocks.{number}", tokens, condition)
        mixed = tokens.swapaxes(1, 2).reshape(frames, channels, height, width)
        return x + convolution(self.state, f"{name}.proj_out", mixed)

    def _block(self, name: str, tokens: Doubles, condition: Doubles) -> Doubles:
        """Tokens are [F, h w, C]."""
        normed = norm(self.state, f"{name}.norm1", tokens)
        previous = normed[[0, *range(len(normed) - 1)]]
        seen = normed if self.own_frame else np.concatenate((normed[[0] * len(normed)], previous), axis=1)  # eq. 10
        tokens = tokens + self._attention(f"{name}.attn1", normed, seen)
        context = np.broadcast_to(condition, (len(tokens), *condition.shape))
        tokens = tokens + self._attention(f"{name}.attn2", norm(self.state, f"{name}.norm2", tokens), context)
        projected = linear(self.state, f"{name}.ff.net.0.proj", norm(self.state, f"{name}.norm3", tokens))
        value, gate = np.split(projected, 2, axis=-1)
        tokens = tokens + linear(self.state, f"{name}.ff.net.2", value * gelu(gate))
        return tokens if self.biases is None else tokens + self.biases[name]

    def _attention(self, name: str, x: Doubles, over: Doubles) -> Doubles:
        query, key, value = (
            inputs @ self.state[f"{name}.to_{part}.weight"].T for part, inputs in (("q", x), ("k", over), ("v", over))
        )
        width = query.shape[-1] // self.heads
        parts = []
        for head in range(self.heads):
            own = slice(head * width, (head + 1) * width)
            logits = query[..., own] @ key[..., own].swapaxes(-1, -2) / np.sqrt(width)
            weights = np.exp(logits - logits.max(-1, keepdims=True))
            parts.append(weights / weights.sum(-1, keepdims=True) @ value[..., own])
        return linear(self.state, f"{name}.to_out.0", np.concatenate(parts, axis=-1))


SIGNAL = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
"""Share of the signal's variance at each time of the diffusion of Stable Diffusion v1-5."""


def times(steps: int) -> list[int]:
    """The times of the steps, from clean to noise: 1, 21, ... 981 for 50."""
    return [1 + 1000 // steps * number for number in range(steps)]


def noised(x: Doubles, noise: Doubles, time: int) -> Doubles:
    """A.7."""
    return np.asarray(np.sqrt(SIGNAL[time]) * x + np.sqrt(1 - SIGNAL[time]) * noise)


def moved(x: Doubles, predicted: Doubles, *, signal: float, to: float, spread: float = 0.0) -> Doubles:
    """One step of DDIM: the clean latent that `predicted` implies, with the same noise at another time."""
    clean = (x - np.sqrt(1 - signal) * predicted) / np.sqrt(signal)
    return np.asarray(np.sqrt(to) * clean + np.sqrt(1 - to - spread**2) * predicted)


def inverted(x: Doubles, predict: Callable[[Doubles, int], Doubles], *, steps: int) -> Doubles:
    """DDIM backwards: towards noise. Before time 1 lies time 0."""
    for time in times(steps):
        before = max(time - 1000 // steps, 0)
        x = moved(x, predict(x, time), signal=SIGNAL[before], to=SIGNAL[time])
    return x


def denoised(
    x: Doubles,
    predict: Callable[[Doubles, int], Doubles],
    *,
    steps: int,
    latest: int = 1000,
    eta: float = 0.0,
    noise: Sequence[Doubles] = (),
) -> Doubles:
    """DDIM from the last of the times up to `latest`. With `eta`, each step adds the next of `noise`."""
    for number, time in enumerate(reversed([time for time in times(steps) if time <= latest])):
        signal, to = SIGNAL[time], SIGNAL[max(time - 1000 // steps, 0)]
        spread = eta * np.sqrt((1 - to) / (1 - signal)) * np.sqrt(1 - signal / to)
        x = moved(x, predict(x, time), signal=signal, to=to, spread=spread)
        x = x + spread * noise[number] if eta > 0 else x
    return x


def guided(unconditional: Doubles, conditional: Doubles, scale: float) -> Doubles:
    return np.asarray(unconditional + scale * (conditional - unconditional))
