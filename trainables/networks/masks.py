"""The sparse causal mask of the motion generator.

A mask is boolean, [batch or 1, frames, frames]. It is true where the frame of the row attends to that of the column.
"""

import torch
from torch import Tensor

from trainables.config.decoders import MotionConfig


def causal_mask(frames: int, device: torch.device) -> Tensor:
    """Return the mask [1, F, F] with which every frame attends to itself and to its past."""
    return torch.ones(1, frames, frames, dtype=torch.bool, device=device).tril()


def maskable(frames: int, *, diagonal: bool, device: torch.device) -> Tensor:
    """Return [1, F, F], true for the visible entries that may be hidden in training.

    These are the past frames, so a frame always attends to itself and no row is empty. With `diagonal` they are the
    entries of the released code (mind-animator.md B06): past and diagonal, without the first two rows and first column.
    """
    visible = causal_mask(frames, device)
    if not diagonal:
        return visible.tril(-1)
    entries = visible.clone()
    entries[:, :2] = False
    entries[:, :, 0] = False
    return entries


def draw_masks(config: MotionConfig, *, frames: int, batch: int, generator: torch.Generator) -> Tensor:
    """Draw the training masks of `batch` samples, [batch, F, F]. Each entry is hidden independently."""
    hidden_share = config.mask_ratio if config.mask_means == "hidden" else 1.0 - config.mask_ratio
    candidates = maskable(frames, diagonal=config.mask_diagonal, device=generator.device)
    chance = torch.rand(batch, frames, frames, generator=generator)
    return causal_mask(frames, generator.device) & ~(candidates & (chance < hidden_share))


def inference_mask(config: MotionConfig, *, frames: int, device: torch.device) -> Tensor:
    """Return the mask [1, F, F] of validation and inference: all visible, or frame 1 only (mind-animator.md B05)."""
    visible = causal_mask(frames, device)
    if config.inference_mask == "none":
        return visible
    return visible & ~maskable(frames, diagonal=True, device=device)
