"""Importance of voxels for a decoder, by three methods (mind-animator.md C.4)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]
Errors = Callable[[Tensor], Tensor]
"""A function from fMRI [k * clips, voxels], the same clips k times, to the decoder's error on each row, [k * clips]."""
DECODER_ROWS = 1200
"""Rows per batch of a decoder. Small decoders are faster with large batches."""


@torch.no_grad()
def weight_product(layers: Sequence[nn.Linear]) -> Floats:
    """Return the paper's importance, [voxels]: |mean over outputs of the product of all weight matrices|.

    Biases, norms, activations and residual connections are left out, as in the released code. So the value describes a
    linear network, not the trained one.
    """
    total = layers[-1].weight.double().mean(dim=0)
    for layer in reversed(layers[:-1]):
        total = total @ layer.weight.double()
    return np.asarray(total.abs().cpu().numpy())


@torch.no_grad()
def mean_absolute_weight(layer: nn.Linear) -> Floats:
    """Return the importance of each voxel for a linear decoder, [voxels]: the mean over outputs of |weight|."""
    return np.asarray(layer.weight.double().abs().mean(dim=0).cpu().numpy())


def gradient(errors: Errors, fmri: Tensor) -> Floats:
    """Return the mean absolute gradient of the error by each voxel, [voxels], per standard deviation of the voxel."""
    with torch.enable_grad():
        seen = fmri.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(errors(seen).sum(), seen)
    return np.asarray(slopes.abs().double().mean(dim=0).cpu().numpy())


@torch.no_grad()
def permutation(
    errors: Errors, fmri: Tensor, groups: Sequence[NDArray[np.int64]], *, shuffles: int, seed: int
) -> Floats:
    """Return the increase of the mean error when the voxels of a group are shuffled over clips, [groups].

    All voxels of a group are shuffled together, which removes their joint information. Negative values are noise.
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


def shuffled_ratio(errors: Errors, fmri: Tensor, *, shuffles: int, seed: int) -> float:
    """Return the mean error with all voxels shuffled over clips, as a multiple of the error with the clips' own fMRI.

    It is 1 for a decoder to which it does not matter whose fMRI it is given, and NaN for one that makes no error.
    """
    increase = permutation(errors, fmri, [np.arange(fmri.shape[1])], shuffles=shuffles, seed=seed)[0]
    with torch.no_grad():
        before = float(errors(fmri).double().mean())
    return 1.0 + float(increase) / before if before > 0 else math.nan


def _shuffled(fmri: Tensor, group: NDArray[np.int64], order: Tensor) -> Tensor:
    altered, voxels = fmri.clone(), torch.from_numpy(group)
    altered[:, voxels] = fmri[order][:, voxels]
    return altered


def by_region(importance: Floats, roi: NDArray[np.int16], *, regions: int) -> Floats:
    """Return the mean importance of each region's voxels, [regions]; NaN for a region without voxels.

    The paper divides by the number of voxels with non-zero importance. In practice no importance is exactly zero.
    """
    counts = np.bincount(roi, minlength=regions)
    sums = np.bincount(roi, weights=importance, minlength=regions)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def share_of_range(importance: Floats) -> Floats:
    """Scale [voxels] to the range 0 to 1, as in the paper's maps; zeros if all values are equal."""
    low, high = float(importance.min()), float(importance.max())
    return np.zeros_like(importance) if high == low else (importance - low) / (high - low)
