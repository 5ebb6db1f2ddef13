"""Trains the phantom's VAE: 64x64 frames to 4x16x16 latents, in the format of Stable Diffusion's."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from trainables.backbones.material import TRAINING, crops, draw_clips, pixels

logger = logging.getLogger(__name__)


def build() -> Any:
    """Return the untrained network (0.65 M parameters); its attention is left out, which costs half the time."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def train_vae(out: Path, *, seed: int, steps: int, batch: int = 20, clips: int = 3000) -> None:
    """Train on 32x32 crops and save to `out` with the scaling factor that gives latents unit variance."""
    torch.manual_seed(seed)
    model = build().to(memory_format=torch.channels_last)
    material = draw_clips(TRAINING, seed=seed, count=clips, frames=2)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for step in range(1, steps + 1):
        loss = _loss(model, crops(material, rng, count=batch))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            logger.info("vae step %d of %d: loss %.5f", step, steps, loss.item())
    model.eval()
    model.register_to_config(scaling_factor=_scaling_factor(model, pixels(material.clips[:256, 0])))
    model.half().save_pretrained(out)


def _loss(model: Any, image: Tensor) -> Tensor:
    """Return pixel error plus error of its spatial differences (edges) plus a light KL term (per image, summed)."""
    posterior = model.encode(image).latent_dist
    error = model.decode(posterior.sample()).sample - image
    edges = error.diff(dim=-1).square().mean() + error.diff(dim=-2).square().mean()
    pixel = error.square().mean() + 0.1 * error.abs().mean()
    return torch.as_tensor(pixel + 0.15 * edges + 1e-5 * posterior.kl().mean())


@torch.no_grad()
def _scaling_factor(model: Any, images: Tensor) -> float:
    return 1.0 / float(model.encode(images).latent_dist.mode().std())


@torch.no_grad()
def reconstruction_psnr(model: Any, images: Tensor) -> float:
    """Return the mean peak signal-to-noise ratio in dB of reconstructed `images` ([N,3,H,W] from -1 to 1)."""
    decoded = model.decode(model.encode(images).latent_dist.mode()).sample.clamp(-1.0, 1.0)
    error = F.mse_loss(decoded, images, reduction="none").mean(dim=(1, 2, 3))
    return float((10.0 * torch.log10(4.0 / error)).mean())
