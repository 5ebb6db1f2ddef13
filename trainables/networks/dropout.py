"""Dropout that several processes, each with its share of a batch, draw as one process with all of it would."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout`, until `share` says that its input is a share of a batch: it then draws for the whole batch.

    All processes follow the same random stream, so they draw the same and each keeps what concerns its rows.
    """

    share: tuple[int, int, int] | None = None
    """The rows [first, end) that this process has of how many in the batch, or None: it has them all."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with entries set to zero; its first axis is the batch's, or the batch's times something."""
        if self.share is None or not self.training or self.p == 0:
            kept: Tensor = super().forward(x)
            return kept
        return x * self.drawn(x)

    def drawn(self, like: Tensor) -> Tensor:
        """Return what to multiply `like` by: zeros and 1 / (1 - p)."""
        assert self.share is not None
        first, end, rows = self.share
        each = len(like) // max(end - first, 1)
        shape = (rows * each, *like.shape[1:])
        # Random numbers are drawn in the order in which a tensor lies in memory.
        axes = sorted(range(like.dim()), key=like.stride, reverse=True)
        ones = torch.ones([shape[axis] for axis in axes], dtype=like.dtype, device=like.device)
        whole = ones.permute([axes.index(axis) for axis in range(like.dim())])
        return F.dropout(whole, self.p)[first * each : end * each].clone()  # it is kept for the way back, `whole` not


def own_dropouts(model: nn.Module) -> list[Dropout]:
    """Return the dropouts of `model`, which can all draw for a share of a batch.

    Raises:
        TypeError: There is one whose draws would depend on how a batch is shared out.
    """
    found = [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    own = [module for module in found if isinstance(module, Dropout)]
    foreign = {type(module).__name__ for module in found if not isinstance(module, Dropout)}
    if foreign:
        raise TypeError(f"shares of a batch need trainables.networks.dropout.Dropout, but the network has {foreign}")
    return own
