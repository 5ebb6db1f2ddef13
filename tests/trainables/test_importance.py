"""Importance of voxels: each way against what is known of a small linear decoder."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.metrics.importance import (
    by_region,
    gradient,
    permutation,
    share_of_range,
    shuffled_ratio,
    weight_product,
)

WEIGHTS = torch.tensor([3.0, 0.0, -1.0, 0.0])
FMRI = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))


def errors(fmri: Tensor) -> Tensor:
    """Return the squared error of the prediction `WEIGHTS @ fmri` of itself on the unshuffled rows."""
    return ((fmri - FMRI.repeat(len(fmri) // len(FMRI), 1)) @ WEIGHTS).square()


def linear(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    return layer


def test_weight_product_is_the_mean_row_of_the_whole_product() -> None:
    first, second = linear([[1.0, 2.0, 0.0], [0.0, -1.0, 4.0]]), linear([[2.0, 1.0], [0.0, -3.0]])
    # [[2, 3, 4], [0, 3, -12]], whose mean over outputs is [1, 3, -4]
    assert weight_product([first, second]).tolist() == pytest.approx([1.0, 3.0, 4.0])


def test_permutation_costs_a_linear_decoder_twice_the_variance_that_a_voxel_carries() -> None:
    each = [np.array([voxel]) for voxel in range(4)]
    grown = permutation(errors, FMRI, each, shuffles=3, seed=0)
    # E[w^2 (x - x')^2] = 2 w^2 for independent x, x' of variance 1
    assert grown.tolist() == pytest.approx([18.0, 0.0, 2.0, 0.0], rel=0.08)


def test_a_group_is_shuffled_as_a_whole() -> None:
    (together,) = permutation(errors, FMRI, [np.array([0, 2])], shuffles=3, seed=0)
    assert together == pytest.approx(20.0, rel=0.08)


def test_the_error_with_shuffled_fmri_is_a_multiple_of_the_error() -> None:
    """Of variance 4 with the clips' own fMRI; twice the squared weights, 20, come on top."""
    noise = 2 * torch.randn(len(FMRI), generator=torch.Generator().manual_seed(1))

    def noisy(fmri: Tensor) -> Tensor:
        target = FMRI @ WEIGHTS + noise
        return (fmri @ WEIGHTS - target.repeat(len(fmri) // len(FMRI))).square()

    assert shuffled_ratio(noisy, FMRI, shuffles=3, seed=0) == pytest.approx(6.0, rel=0.08)
    assert shuffled_ratio(lambda fmri: torch.ones(len(fmri)), FMRI, shuffles=1, seed=0) == 1.0
    assert np.isnan(shuffled_ratio(errors, FMRI, shuffles=1, seed=0)), "it makes no error"


def test_gradient_is_the_size_of_the_slope() -> None:
    target = torch.ones(len(FMRI))
    values = gradient(lambda fmri: (fmri @ WEIGHTS - target).square(), FMRI)
    slope = (2 * (FMRI @ WEIGHTS - target)).abs().mean().item()
    assert values.tolist() == pytest.approx([3 * slope, 0.0, slope, 0.0], rel=1e-5)


def test_regions_are_means_and_an_empty_one_has_none() -> None:
    means = by_region(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2], np.int16), regions=3)
    assert means[[0, 2]].tolist() == [2.0, 5.0]
    assert np.isnan(means[1])


def test_maps_span_zero_to_one_and_a_flat_one_is_zero() -> None:
    assert share_of_range(np.array([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert share_of_range(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
