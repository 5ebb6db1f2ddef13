"""How much a decoder relies on each voxel, in three ways (mind-animator.md C.4)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]
Errors = Callable[[Tensor], Tensor]
"""From fMRI [k * clips, voxels], k times the same clips, to the decoder's error on each row, [k * clips]."""
DECODER_ROWS = 1200
"""Rows that a decoder is given at a time: small decoders are faster on many."""


@torch.no_grad()
def weight_product(layers: Sequence[nn.Linear]) -> Floats:
    """Return the paper's importance, [voxels]: |mean over outputs of the product of all weight matrices|.

    Biases, norms, activations and residual paths are left out, as in the released code, so this describes a network
    that was never run.
    """
    total = layers[-1].weight.double().mean(dim=0)
    for layer in reversed(layers[:-1]):
        total = total @ layer.weight.double()
    return np.asarray(total.abs().cpu().numpy())


def gradient(errors: Errors, fmri: Tensor) -> Floats:
    """Return the mean size of the error's gradient by each voxel, [voxels]; voxels are in units of their deviation."""
    with torch.enable_grad():
        seen = fmri.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(errors(seen).sum(), seen)
    return np.asarray(slopes.abs().double().mean(dim=0).cpu().numpy())


@torch.no_grad()
def permutation(
    errors: Errors, fmri: Tensor, groups: Sequence[NDArray[np.int64]], *, shuffles: int, seed: int
) -> Floats:
    """Return by how much the mean error grows when the voxels of a group are shuffled over clips, [groups].

    A group is shuffled as a whole, so that what its voxels tell together is lost together. Negative values are noise:
    the decoder did no worse.
    """
    random = np.random.default_rng(seed)
    orders = [torch.from_numpy(random.permutation(len(fmri))) for _ in range(shuffles)]
    before = float(errors(fmri).double().mean())
    means = []
    size = max(1, DECODER_ROWS // (len(fmri) * shuffles))
    for first in range(0, len(groups), size):
        altered = torch.cat(
            [_shuffled(fmri, group, order) for group in groups[first : first + size] for order in orders]
        )
        means.append(errors(altered).double().view(-1, shuffles * len(fmri)).mean(dim=1))
    return np.asarray(torch.cat(means).cpu().numpy() - before)


def _shuffled(fmri: Tensor, group: NDArray[np.int64], order: Tensor) -> Tensor:
    altered, voxels = fmri.clone(), torch.from_numpy(group)
    altered[:, voxels] = fmri[order][:, voxels]
    return altered


def by_region(importance: Floats, roi: NDArray[np.int16], *, regions: int) -> Floats:
    """Return the mean importance of each region's voxels, [regions]; NaN for a region without any.

    The paper divides by the number of voxels whose importance is not zero; none is zero here but by accident.
    """
    counts = np.bincount(roi, minlength=regions)
    sums = np.bincount(roi, weights=importance, minlength=regions)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def share_of_range(importance: Floats) -> Floats:
    """Scale [voxels] from 0 to 1, as the paper's maps are; zeros where all are equal."""
    low, high = float(importance.min()), float(importance.max())
    return np.zeros_like(importance) if high == low else (importance - low) / (high - low)
