"""Latent frames as patches, and back."""

from collections.abc import Sequence

from torch import Tensor


def cut(frames: Tensor, patch: int) -> Tensor:
    """Turn frames [B, T, c, h, w] into patches [B, P, T, c * patch * patch], P = (h / patch) (w / patch)."""
    batch, length, channels, side = frames.shape[:4]
    grid = side // patch
    cells = frames.reshape(batch, length, channels, grid, patch, grid, patch)
    return cells.permute(0, 3, 5, 1, 2, 4, 6).reshape(batch, grid * grid, length, channels * patch * patch)


def join(patches: Tensor, latent: Sequence[int]) -> Tensor:
    """Turn patches [B, P, T, values] into frames [B, T, *latent], `latent` [c, h, w]."""
    batch, count, length, _ = patches.shape
    grid = round(count**0.5)
    patch = latent[1] // grid
    cells = patches.reshape(batch, grid, grid, length, latent[0], patch, patch)
    return cells.permute(0, 3, 4, 1, 5, 2, 6).reshape(batch, length, *latent)
