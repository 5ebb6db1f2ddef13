"""A training step with the memory of a part of its batch.

Gradient accumulation would compute a loss for each part. That is a different loss if it compares the rows of a batch.
Here the loss is that of the whole batch. The forward pass is computed part by part, and only its outputs are kept. In
the backward pass each part is computed again (Chen et al. 2016, arXiv:1604.06174; Gao et al. 2021, arXiv:2101.06983).

The cost is one additional forward pass. A result changes by rounding only. Inputs, outputs and the loss itself still
need the memory of the whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainables.distributed import Forward
from trainables.networks.dropout import own_dropouts

_Share = tuple[int, int, int]


class InParts:
    """Calls a network with a part of a batch at a time. Dropout draws the same values as for the whole batch."""

    def __init__(self, forward: Forward, model: nn.Module, *, rows: int) -> None:
        """Call `forward`, which calls `model`, with at most `rows` at a time.

        Raises:
            TypeError: `model` has a dropout whose draws would depend on the parts.
        """
        self._forward, self._rows, self._dropouts = forward, rows, own_dropouts(model)

    def __call__(self, *inputs: Tensor) -> Any:
        """Call it with a batch. An input with one row for all (a mask) is not split."""
        rows = len(inputs[0])
        if rows <= self._rows:
            return self._forward(*inputs)
        outputs = []
        for first in range(0, rows, self._rows):
            end = min(first + self._rows, rows)
            part = [x[first:end] if len(x) == rows else x for x in inputs]
            # Each part draws for the whole batch, so all start from one random state. Only the last one advances it.
            with torch.random.fork_rng(_cuda(inputs), enabled=end < rows):
                outputs.append(checkpoint(self._part, (first, end, rows), *part, use_reentrant=False))
        if isinstance(outputs[0], Tensor):
            return torch.cat(outputs)
        return tuple(map(torch.cat, zip(*outputs, strict=True)))

    def _part(self, share: _Share, *inputs: Tensor) -> Any:
        with self._sharing(*share):
            return self._forward(*inputs)

    @contextmanager
    def _sharing(self, first: int, end: int, rows: int) -> Iterator[None]:
        """Set the rows of each dropout. The batch itself may be the part of one worker."""
        before = [dropout.share for dropout in self._dropouts]
        for dropout, share in zip(self._dropouts, before, strict=True):
            start, _, whole = (0, rows, rows) if share is None else share
            dropout.share = start + first, start + end, whole
        try:
            yield
        finally:
            for dropout, share in zip(self._dropouts, before, strict=True):
                dropout.share = share


def _cuda(inputs: tuple[Tensor, ...]) -> list[int]:
    return sorted({x.get_device() for x in inputs if x.is_cuda})
