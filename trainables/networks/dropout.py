"""Dropout that gives the same result whether one process computes a batch or several compute parts of it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout` that can draw for a whole batch while its input is a part of the batch, given by `share`.

    All processes use the same random stream. So all draw the same, and each keeps the values of its own rows.
    """

    share: tuple[int, int, int] | None = None
    """(first, end, rows): the input is the rows [first, end) of a batch of `rows`. None: it is the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with entries set to zero. The length of its first axis is a multiple of the number of rows."""
        if self.share is None or not self.training or self.p == 0:
            kept: Tensor = super().forward(x)
            return kept
        return x * self.drawn(x)

    def drawn(self, like: Tensor) -> Tensor:
        """Return the factors for `like`, of its shape: zeros and 1 / (1 - p)."""
        assert self.share is not None
        first, end, rows = self.share
        multiple = len(like) // max(end - first, 1)
        shape = (rows * multiple, *like.shape[1:])
        # Random numbers are drawn in the memory order of a tensor.
        axes = sorted(range(like.dim()), key=like.stride, reverse=True)
        ones = torch.ones([shape[axis] for axis in axes], dtype=like.dtype, device=like.device)
        whole = ones.permute([axes.index(axis) for axis in range(like.dim())])
        # A copy, so that the backward pass does not keep `whole` in memory.
        return F.dropout(whole, self.p)[first * multiple : end * multiple].clone()


def own_dropouts(model: nn.Module) -> list[Dropout]:
    """Return the dropouts of `model`.

    Raises:
        TypeError: One of them is not a `Dropout` of this module, so its draws would depend on the parts of a batch.
    """
    dropouts = [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    own = [module for module in dropouts if isinstance(module, Dropout)]
    foreign = {type(module).__name__ for module in dropouts if not isinstance(module, Dropout)}
    if foreign:
        raise TypeError(
            f"the network has {', '.join(sorted(foreign))}; use trainables.networks.dropout.Dropout instead"
        )
    return own
