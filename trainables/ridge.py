"""Ridge regression in closed form: one singular value decomposition of the inputs, then all targets, some at a time.

The weights minimise |Y - X W - b|^2 + penalty |W|^2; the bias is not penalised. With more columns than rows the
decomposition has as many singular values as rows, which is the dual form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor

PenaltyPer: TypeAlias = Literal["all", "target"]
TARGETS_AT_ONCE = 2048
"""Targets per step. Besides the weights, memory holds the targets of one step in double precision."""


@dataclass(frozen=True)
class RidgeWeights:
    """A solution for V inputs and T targets."""

    weight: Tensor
    """[T,V], in the precision of the inputs."""
    bias: Tensor
    """[T]"""
    penalty: Tensor
    """The chosen penalty of each target, float64 [T]."""


@dataclass(frozen=True)
class RidgeSolver:
    """The decomposition U diag(s) V^T of n centred training rows; computed once for any number of targets."""

    mean: Tensor
    """float64 [V]"""
    left: Tensor
    """float64 [n,r]"""
    values: Tensor
    """float64 [r]"""
    right: Tensor
    """float64 [r,V]"""
    precision: torch.dtype

    @classmethod
    def of(cls, rows: Tensor) -> Self:
        """Decompose training rows [n,V]."""
        inputs = rows.double()
        mean = inputs.mean(dim=0)
        left, values, right = torch.linalg.svd(inputs - mean, full_matrices=False)
        return cls(mean, left, values, right, rows.dtype)

    def weights(self, targets: Tensor, *, penalty: float) -> RidgeWeights:
        """Return the solution for `targets` [n,T] under one penalty, which must be greater than 0."""
        return self._solved(targets, torch.full((targets.shape[1],), penalty, dtype=torch.float64))

    def with_penalties(self, targets: Tensor, penalties: Tensor) -> RidgeWeights:
        """Return the solution for `targets` [n,T] under a penalty for each, float64 [T], each greater than 0."""
        return self._solved(targets, penalties)

    def chosen(
        self, targets: Tensor, *, validation: tuple[Tensor, Tensor], penalties: Sequence[float], per: PenaltyPer
    ) -> RidgeWeights:
        """Return the solution under the penalties with the smallest squared errors on `validation`.

        Args:
            targets: [n,T].
            validation: Inputs [m,V] and targets [m,T] of other rows.
            penalties: The candidates.
            per: Whether all targets share one penalty, or each has its own.
        """
        inputs, truth = validation
        projected = (inputs.double() - self.mean) @ self.right.T
        errors = torch.cat(
            [self._errors(targets[:, part], projected, truth[:, part], penalties) for part in _parts(targets.shape[1])],
            dim=1,
        )
        if per == "all":
            errors = errors.sum(dim=1, keepdim=True).expand_as(errors)
        candidates = torch.tensor(penalties, dtype=torch.float64, device=errors.device)
        return self._solved(targets, candidates[errors.argmin(dim=0)])

    def _errors(self, targets: Tensor, projected: Tensor, truth: Tensor, penalties: Sequence[float]) -> Tensor:
        """Return the squared error of each penalty and target, [penalties,T]."""
        known, centre = targets.double(), targets.double().mean(dim=0)
        loadings, wanted = self.left.T @ (known - centre), truth.double() - centre
        return torch.stack(
            [
                (wanted - projected * self._shrinkage(penalty) @ loadings).square().sum(dim=0)
                for penalty in torch.tensor(penalties, dtype=torch.float64, device=wanted.device)
            ]
        )

    def _solved(self, targets: Tensor, penalty: Tensor) -> RidgeWeights:
        count, voxels = targets.shape[1], len(self.mean)
        weight = torch.empty(count, voxels, dtype=self.precision, device=self.mean.device)
        bias = torch.empty(count, dtype=self.precision, device=self.mean.device)
        penalty = penalty.to(self.mean.device)
        for part in _parts(count):
            known = targets[:, part].double()
            centre = known.mean(dim=0)
            loadings = self.left.T @ (known - centre)
            coefficients = (loadings * self._shrinkage(penalty[part][None, :])).T @ self.right
            weight[part] = coefficients.to(self.precision)
            bias[part] = (centre - coefficients @ self.mean).to(self.precision)
        return RidgeWeights(weight, bias, penalty)

    def _shrinkage(self, penalty: Tensor) -> Tensor:
        """Return s / (s^2 + penalty): [r] for one penalty, [r,T] for penalties [1,T]."""
        values = self.values if penalty.ndim == 0 else self.values[:, None]
        return values / (values.square() + penalty)


def _parts(count: int) -> list[slice]:
    return [slice(first, min(first + TARGETS_AT_ONCE, count)) for first in range(0, count, TARGETS_AT_ONCE)]
