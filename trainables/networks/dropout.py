"""Dropout that gives the same result whether one process computes a batch or several compute parts of it."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout` whose draws depend neither on the device nor on how a batch is shared out.

    It draws on the CPU, from torch's default generator, for the whole batch, of which its input may be a part, given
    by `share`. All processes use the same random stream, and each keeps the values of its own rows.
    """

    share: tuple[int, int, int] | None = None
    """(first, end, rows): the input is the rows [first, end) of a batch of `rows`. None: it is the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with entries set to zero. The length of its first axis is a multiple of the number of rows."""
        return x * self.drawn(x) if self.training and self.p > 0 else x

    def drawn(self, like: Tensor) -> Tensor:
        """Return the factors for `like`, of its shape: zeros and 1 / (1 - p)."""
        first, end, rows = (0, len(like), len(like)) if self.share is None else self.share
        multiple = len(like) // max(end - first, 1)
        shape = (rows * multiple, *like.shape[1:])
        # Random numbers are drawn in the memory order of a tensor.
        axes = sorted(range(like.dim()), key=like.stride, reverse=True)
        kept = torch.empty([shape[axis] for axis in axes], dtype=like.dtype, device="cpu")
        kept.bernoulli_(1 - self.p).div_(1 - self.p)
        whole = kept.permute([axes.index(axis) for axis in range(like.dim())])
        if len(like) == len(whole):
            return whole.to(like.device)
        # A copy, so that the backward pass does not keep `whole` in memory.
        return whole[first * multiple : end * multiple].clone().to(like.device)


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
