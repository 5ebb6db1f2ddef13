"""Augmentation of fMRI (sparsification) and of its CLIP targets (cached variants)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.config.decoders import SparsifyConfig


def draw_keep(config: SparsifyConfig, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw which entries of an fMRI matrix [rows, voxels] stay: chosen ones lose `zero_fraction` of their values."""
    device = generator.device
    choices = (1, shape[1]) if config.unit == "voxels" else tuple(shape)
    chosen = torch.rand(choices, generator=generator, device=device) < config.voxel_fraction
    zeroed = torch.rand(tuple(shape), generator=generator, device=device) < config.zero_fraction
    return ~(chosen & zeroed)


class Sparsifier:
    """Sets entries of the training fMRI to zero. The matrix itself is never changed.

    What lasts longer than a step is `keep`, [rows, voxels]: with `refresh` "epoch" the epoch's draw, with `cumulative`
    all draws so far (the released code zeroes its array in place, mind-animator.md B01). It belongs into checkpoints.
    """

    def __init__(self, config: SparsifyConfig, fmri: Tensor) -> None:
        """Prepare for `fmri`, [rows, voxels]."""
        self.config = config
        self.fmri = fmri
        self.active = config.voxel_fraction > 0 and config.zero_fraction > 0
        lasting = self.active and (config.cumulative or config.refresh == "epoch")
        self.keep = torch.ones_like(fmri, dtype=torch.bool) if lasting else None

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw for a whole epoch, where the config asks for that."""
        if self.keep is not None and self.config.refresh == "epoch":
            drawn = draw_keep(self.config, self.fmri.shape, generator)
            self.keep = self.keep & drawn if self.config.cumulative else drawn

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Return a sparsified copy of `rows`, [batch, voxels]."""
        batch = self.fmri[rows]
        if not self.active:
            return batch
        if self.config.refresh == "step":
            drawn = draw_keep(self.config, batch.shape, generator)
            if self.keep is None:
                return batch * drawn
            self.keep[rows] &= drawn
        assert self.keep is not None
        return batch * self.keep[rows]


def pick_variant(variants: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return for each of `rows` one of its `variants` [N, K, D], uniformly: [batch, D]."""
    which = torch.randint(variants.shape[1], rows.shape, generator=generator, device=rows.device)
    return variants[rows, which]
