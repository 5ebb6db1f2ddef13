"""Trains the phantom's diffusion model: it draws single frames from captions and never sees two frames of a clip."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor

from trainables.backbones.load import load_text_encoder, load_vae
from trainables.backbones.material import TRAINING, draw_clips, pixels

logger = logging.getLogger(__name__)

TOKENS = 20
"""Tokens of the condition, as the semantic decoder gives them."""
NULL_TEXT = 0.1
"""Share of training images whose caption is taken away, for classifier-free guidance."""


def build() -> Any:
    """Return the untrained network (2.73 M parameters); attention at 16x16 would double what it costs."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def noise_scheduler() -> Any:
    """Return the noise schedule of Stable Diffusion v1-5."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def train_unet(out: Path, *, seed: int, steps: int, batch: int = 32, clips: int = 4000) -> None:
    """Train on the latents of single frames, and save `unet` and `scheduler` beside the VAE and text encoder in `out`.

    The text encoder and the VAE are read from `out`; what is saved is the running mean of the weights.
    """
    torch.manual_seed(seed)
    latents, conditions, nothing = _material(out, seed=seed, clips=clips)
    model = build().to(memory_format=torch.channels_last)
    noise_schedule = noise_scheduler()
    mean = EMAModel(model.parameters(), decay=0.999)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.2e-3, total_steps=steps, pct_start=0.05)
    model.train()
    smooth = 0.0
    for step in range(1, steps + 1):
        rows = rng.integers(len(latents), size=batch)
        inputs = conditions[rows].clone()
        inputs[torch.from_numpy(rng.random(batch) < NULL_TEXT)] = nothing
        drawn = latents[rows, rng.integers(latents.shape[1], size=batch)]
        loss = _loss(model, noise_schedule, drawn, inputs)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean.step(model.parameters())
        smooth += (loss.item() - smooth) / min(step, 100)
        if step % 50 == 0:
            logger.info("unet step %d of %d: loss %.5f", step, steps, smooth)
    mean.copy_to(model.parameters())
    model.eval().half().save_pretrained(out / "unet")
    noise_schedule.save_pretrained(out / "scheduler")


def _material(folder: Path, *, seed: int, clips: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return latents [N,F,4,16,16], conditions [N,TOKENS,C] and the condition of the empty prompt [TOKENS,C]."""
    material = draw_clips(TRAINING, seed=seed, count=clips, frames=8)
    vae, encoder = load_vae(str(folder)), load_text_encoder(str(folder))
    parts = [material.clips[first : first + 8] for first in range(0, clips, 8)]
    latents = torch.cat([vae.encode(pixels(part.reshape(-1, *part.shape[2:]))) for part in parts])
    conditions = encoder.encode(material.captions, tokens=TOKENS)
    logger.info("unet: %d frames encoded", len(latents))
    return latents.reshape(clips, -1, *latents.shape[1:]), conditions, encoder.encode([""], tokens=TOKENS)[0]


def _loss(model: Any, noise_schedule: Any, latents: Tensor, conditions: Tensor) -> Tensor:
    """Return the error of the predicted noise at random times."""
    noise = torch.randn_like(latents)
    times = torch.randint(0, noise_schedule.config.num_train_timesteps, (len(latents),))
    noisy = noise_schedule.add_noise(latents, noise, times).contiguous(memory_format=torch.channels_last)
    return F.mse_loss(model(noisy, times, encoder_hidden_states=conditions).sample, noise)
