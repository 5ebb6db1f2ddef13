"""Trains the phantom's diffusion model: an image UNet in the format of Stable Diffusion's, which never sees a video.

Single frames and their captions alone; consistency over frames comes later, from inflation (trainables.networks).
"""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from trainables.backbones.load import load_text_encoder, load_vae
from trainables.backbones.material import TRAINING, draw, pixels

logger = logging.getLogger(__name__)

WIDTHS = (32, 64, 96)
NULL_TEXT = 0.1
"""Share of captions replaced by the empty one, which guidance needs."""
EMA = 0.999


def build(condition_width: int) -> Any:
    """Return the untrained network (2.8 M parameters) for 4x16x16 latents; no attention at the full side."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=condition_width,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def noise_schedule() -> Any:
    """Return Stable Diffusion's own noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def train_unet(folder: Path, *, seed: int, steps: int, batch: int = 32) -> None:
    """Train on frames of phantom clips; save `unet` and `scheduler` into `folder`, beside its VAE and text encoder."""
    torch.manual_seed(seed)
    latents, conditions, nothing = _material(folder, seed=seed)
    model = build(conditions.shape[-1])
    average = copy.deepcopy(model).requires_grad_(False)
    scheduler = noise_schedule()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.2e-3, total_steps=steps, pct_start=0.05)
    for step in range(1, steps + 1):
        clip, frame = torch.randint(len(latents), (batch,)), torch.randint(latents.shape[1], (batch,))
        condition = torch.where(torch.rand(batch, 1, 1) < NULL_TEXT, nothing, conditions[clip])
        loss = _loss(model, scheduler, latents[clip, frame].float(), condition)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _follow(average, model, keep=min(EMA, step / (step + 10)))
        if step % 100 == 0:
            logger.info("unet step %d of %d: loss %.4f", step, steps, loss.item())
    average.half().save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")


def _loss(model: Any, scheduler: Any, latents: Tensor, condition: Tensor) -> Tensor:
    """Return the error of the predicted noise, all time steps alike."""
    noise = torch.randn_like(latents)
    time = torch.randint(scheduler.config.num_train_timesteps, (len(latents),))
    noisy = scheduler.add_noise(latents, noise, time)
    return F.mse_loss(model(noisy, time, encoder_hidden_states=condition).sample, noise)


@torch.no_grad()
def _follow(average: Any, model: Any, *, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1.0 - keep)


def _material(folder: Path, *, seed: int, count: int = 6000) -> tuple[Tensor, Tensor, Tensor]:
    """Return latents [N,frames,4,16,16] (half precision), conditions [N,tokens,C] and the empty one [1,tokens,C]."""
    material = draw(TRAINING, seed=seed, count=count, frames=8)
    vae, text = load_vae(str(folder)), load_text_encoder(str(folder))
    rows = [vae.encode(pixels(np.concatenate(material.clips[i : i + 16]))).half() for i in range(0, count, 16)]
    latents = torch.cat(rows)
    return (
        latents.view(count, 8, *latents.shape[1:]),
        text.encode(material.captions, tokens=20),
        text.encode([""], tokens=20),
    )
