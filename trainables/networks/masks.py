"""The sparse causal mask of the motion generator: who of the frames may look at whom.

A mask is boolean, [batch or 1, frames, frames], true where the row's frame sees the column's.
"""

import torch
from torch import Tensor

from trainables.config.decoders import MotionConfig


def causal(frames: int, device: torch.device) -> Tensor:
    """Return the mask [1, F, F] under which every frame sees itself and its past."""
    return torch.ones(1, frames, frames, dtype=torch.bool, device=device).tril()


def maskable(frames: int, *, diagonal: bool, device: torch.device) -> Tensor:
    """Return [1, F, F], true for the visible entries that may be hidden while training.

    These are the past ones, so that a frame always sees itself and no row is ever empty. With `diagonal` they are those
    of the released code (mind-animator.md B06): the diagonal too, but never the first two rows and the first column.
    """
    visible = causal(frames, device)
    if not diagonal:
        return visible.tril(-1)
    spared = visible.clone()
    spared[:, :2] = False
    spared[:, :, 0] = False
    return spared


def draw_masks(config: MotionConfig, *, frames: int, batch: int, generator: torch.Generator) -> Tensor:
    """Draw the training masks of `batch` samples, [batch, F, F], each entry hidden independently."""
    device = generator.device
    hidden_share = config.mask_ratio if config.mask_means == "hidden" else 1.0 - config.mask_ratio
    candidates = maskable(frames, diagonal=config.mask_diagonal, device=device)
    chance = torch.rand(batch, frames, frames, generator=generator, device=device)
    return causal(frames, device) & ~(candidates & (chance < hidden_share))


def at_inference(config: MotionConfig, *, frames: int, device: torch.device) -> Tensor:
    """Return the mask [1, F, F] of validation and inference: all visible, or frame 1 only (mind-animator.md B05)."""
    visible = causal(frames, device)
    if config.inference_mask == "none":
        return visible
    return visible & ~maskable(frames, diagonal=True, device=device)
