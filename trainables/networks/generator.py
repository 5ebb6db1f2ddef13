"""The generator, an inflated diffusion model: latents and text conditions to latent video (mind-animator.md A.4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMInverseScheduler
from torch import Tensor

from trainables.config.video import GeneratorConfig
from trainables.kinds import of_kind
from trainables.networks.inflation import add_temporal_biases, as_video_unet


@dataclass(frozen=True)
class Prompts:
    """The conditions that are the same for all clips."""

    empty: Tensor
    """[T,C], for the inversion. T is the maximum of the text encoder, as in the released code."""
    negative: Tensor
    """[L,C], as long as the conditions of the clips."""


class VideoGenerator:
    """Generates latent videos with an image diffusion model, a batch of clips at a time.

    The state of the diffusion is float32, whatever the network's dtype. Guidance takes two passes of clips x frames
    rows, conditional and unconditional, which bounds memory. A pass with weight zero is not computed.
    """

    def __init__(self, unet: Any, schedule: Any, config: GeneratorConfig, *, prompts: Prompts, frames: int) -> None:
        """Inflate `unet`.

        Args:
            unet: A diffusers `UNet2DConditionModel`. Its attention processors and memory format are changed.
            schedule: Its `DDIMScheduler`.
            config: The procedure.
            prompts: Conditions of the empty and the negative prompt.
            frames: Frames per clip.
        """
        self.config, self.schedule = config, schedule
        weight = next(unet.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.unet = as_video_unet(unet.to(memory_format=torch.channels_last), config, frames=frames)
        if config.temporal_bias is not None:
            add_temporal_biases(self.unet, seed=config.temporal_bias)
        self.inverse = DDIMInverseScheduler.from_config(schedule.config)
        self.inverse.set_timesteps(config.inversion_steps)
        self.schedule.set_timesteps(config.steps)
        self.prompts = prompts

    @property
    def times(self) -> list[int]:
        """The times of the denoising steps in descending order: all, or with `img2img` those up to `noise_timestep`."""
        times: list[int] = self.schedule.timesteps.tolist()
        if self.config.procedure != "img2img":
            return times
        return [time for time in times if time <= self.config.noise_timestep]

    @torch.no_grad()
    def __call__(self, latents: Tensor, conditions: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Return denoised latents [n,F,c,h,w] of `latents` [n,F,c,h,w] under `conditions` [n,L,C].

        The noise of a clip is drawn on the CPU from its entry of `seeds`, so it is the same on every device and in
        every batch. With `img2img`, noise is added for the time of the first step, so that state and step agree. If no
        step is at or below `noise_timestep`, the latents are returned unchanged. With `scratch`, generation starts from
        noise alone, and of `latents` the shape counts.
        """
        frames = latents.shape[1]
        noise = _Noise(seeds, latents.shape[1:], share=shared_part(self.config))
        state = latents.flatten(0, 1).to(self.device, torch.float32)
        context = conditions.to(self.device, self.dtype).repeat_interleave(frames, dim=0)
        start = max(self.times, default=0)
        if self.config.procedure == "inversion":
            state, start = self._inverted(state), self.config.noise_timestep
        if self.config.procedure == "scratch":
            state = noise.draw().to(state) * self.schedule.init_noise_sigma
        elif self.times:
            state = self.schedule.add_noise(state, noise.draw().to(state), torch.tensor(start, device=self.device))
        for time in self.times:
            variance = noise.draw().to(state) if self.config.eta > 0 else None
            predicted = self._guided(state, time, context)
            step = self.schedule.step(predicted, time, state, eta=self.config.eta, variance_noise=variance)
            state = torch.as_tensor(step.prev_sample)
        return state.reshape(latents.shape)

    def _inverted(self, state: Tensor) -> Tensor:
        """Return the noise from which DDIM with the empty prompt would generate `state`."""
        empty = self._for_all(self.prompts.empty, state)
        for time in self.inverse.timesteps.tolist():
            state = self.inverse.step(self._predicted(state, time, empty), time, state).prev_sample
        return state

    def _guided(self, state: Tensor, time: int, context: Tensor) -> Tensor:
        """Return the predicted noise in `state` at `time`, with classifier-free guidance."""
        scale = self.config.guidance
        if scale == 1:
            return self._predicted(state, time, context)
        unconditional = self._predicted(state, time, self._for_all(self.prompts.negative, state))
        return unconditional if scale == 0 else torch.lerp(unconditional, self._predicted(state, time, context), scale)

    def _for_all(self, prompt: Tensor, state: Tensor) -> Tensor:
        return prompt.to(self.device, self.dtype).expand(len(state), -1, -1)

    def _predicted(self, state: Tensor, time: int, context: Tensor) -> Tensor:
        rows = state.to(self.dtype).contiguous(memory_format=torch.channels_last)
        noise = self.unet(rows, torch.tensor(time, device=self.device), encoder_hidden_states=context).sample
        return torch.as_tensor(noise).float()


def shared_part(config: GeneratorConfig) -> float:
    """Return the part of the noise's variance that the frames of a clip share."""
    return of_kind(
        {"independent": 0.0, "shared": 1.0, "mixed": config.noise_share}, config.noise, field="generator.noise"
    )


class _Noise:
    """Standard normal noise for the frames of several clips, with one random generator per clip."""

    def __init__(self, seeds: Sequence[int], video: Sequence[int], *, share: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._frames, *self._latent = video
        self._share = share

    def draw(self) -> Tensor:
        """Return the next noise, [clips * F, c, h, w]."""
        if self._share == 0:
            return self._drawn(self._frames)
        shared = self._drawn(1)
        if self._share == 1:
            return shared.repeat_interleave(self._frames, dim=0)
        return mixed_noise(shared.repeat_interleave(self._frames, dim=0), self._drawn(self._frames), share=self._share)

    def _drawn(self, frames: int) -> Tensor:
        """Return noise of `frames` frames per clip, [clips * frames, c, h, w]."""
        return torch.cat([torch.randn(frames, *self._latent, generator=g) for g in self._generators])


def mixed_noise(shared: Tensor, own: Tensor, *, share: float) -> Tensor:
    """Return standard normal noise of frames, of whose variance `share` is the clip's.

    Args:
        shared: Noise of the clips, of a shape that broadcasts to that of `own`.
        own: Noise of each frame.
        share: From 0 to 1.
    """
    return math.sqrt(share) * shared + math.sqrt(1.0 - share) * own
