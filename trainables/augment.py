"""Augmentation of fMRI (sparsification) and of its CLIP targets (variants from the features stage)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables.config.decoders import SparsifyConfig


def draw_keep(config: SparsifyConfig, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw which entries of an fMRI matrix [rows, voxels] are kept: a boolean tensor of this shape.

    `voxel_fraction` of the voxels (or entries) are chosen. Of their values, `zero_fraction` are not kept.
    """
    choices = (1, shape[1]) if config.unit == "voxels" else tuple(shape)
    chosen = torch.rand(choices, generator=generator) < config.voxel_fraction
    zeroed = torch.rand(tuple(shape), generator=generator) < config.zero_fraction
    return ~(chosen & zeroed)


class Sparsifier:
    """Sets entries of the training fMRI to zero. The matrix itself is not changed.

    `keep`, [rows, voxels], is the only state that lasts longer than a step, so checkpoints contain it. With `refresh`
    "epoch" it is the draw of the epoch; with `cumulative` it is the intersection of all draws so far (the released code
    sets its array to zero in place, mind-animator.md B01).
    """

    def __init__(self, config: SparsifyConfig, fmri: Tensor) -> None:
        """Prepare for `fmri`, [rows, voxels]."""
        self.config = config
        self.fmri = fmri
        self.active = config.voxel_fraction > 0 and config.zero_fraction > 0
        lasting = self.active and (config.cumulative or config.refresh == "epoch")
        self.keep = torch.ones_like(fmri, dtype=torch.bool) if lasting else None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.fmri)

    def clips(self, rows: Tensor) -> Tensor:
        """Return the place of each row's clip among the features: that of the row."""
        return rows

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw for the whole epoch if `refresh` is "epoch"."""
        if self.keep is not None and self.config.refresh == "epoch":
            drawn = draw_keep(self.config, self.fmri.shape, generator).to(self.fmri.device)
            self.keep = self.keep & drawn if self.config.cumulative else drawn

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Return a sparsified copy of `rows`, [batch, voxels]."""
        batch = self.fmri[rows]
        if not self.active:
            return batch
        if self.config.refresh == "step":
            drawn = draw_keep(self.config, batch.shape, generator).to(batch.device)
            if self.keep is None:
                return batch * drawn
            self.keep[rows] &= drawn
        assert self.keep is not None
        return batch * self.keep[rows]

    def state(self) -> dict[str, Tensor]:
        """Return what must last longer than a step."""
        return {} if self.keep is None else {"keep": self.keep}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""
        self.keep = state.get("keep")


def draw_variants(count: int, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return [batch]: for each of `rows` the number of one of its `count` variants, drawn uniformly."""
    return torch.randint(count, rows.shape, generator=generator).to(rows.device)
