"""Pearson's correlation of the columns of two tables of tensors."""

import torch
from torch import Tensor


def column_correlation(predicted: Tensor, measured: Tensor) -> Tensor:
    """Return the correlation over rows of each column of two tables [n,V], float64 [V]; 0 where one is constant."""
    first, second = (values.double() - values.double().mean(dim=0) for values in (predicted, measured))
    scale = first.norm(dim=0) * second.norm(dim=0)
    products = (first * second).sum(dim=0)
    return torch.where(scale > 0, products / torch.where(scale > 0, scale, torch.ones_like(scale)), 0.0)
