"""A training step in the memory of a part of its batch.

Gradient accumulation would give each part a loss of its own, which is another loss where it compares the rows of a
batch. Here the loss still sees the whole batch: the network's way forward is taken part by part and forgotten, but for
what comes out of it, and each part's is taken again when its gradient comes (Chen et al. 2016, arXiv:1604.06174; Gao et
al. 2021, arXiv:2101.06983). It costs one more way forward and changes a result by rounding only. Inputs, outputs and
the loss itself still need the memory of the whole batch.
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
    """Calls a network with some rows of a batch at a time; dropout draws what it would draw for all of them."""

    def __init__(self, forward: Forward, model: nn.Module, *, rows: int) -> None:
        """Let `forward`, which calls `model`, see at most `rows` at a time.

        Raises:
            TypeError: `model` holds a dropout whose draws would depend on the parts.
        """
        self._forward, self._rows, self._dropouts = forward, rows, own_dropouts(model)

    def __call__(self, *inputs: Tensor) -> Any:
        """Call it with a batch; an input of one row for all (a mask) is not split."""
        rows = len(inputs[0])
        if rows <= self._rows:
            return self._forward(*inputs)
        made = []
        for first in range(0, rows, self._rows):
            end = min(first + self._rows, rows)
            part = [x[first:end] if len(x) == rows else x for x in inputs]
            # Each part draws for the whole batch, so all begin where the first did; the last one's end is the batch's.
            with torch.random.fork_rng(_cuda(inputs), enabled=end < rows):
                made.append(checkpoint(self._part, (first, end, rows), *part, use_reentrant=False))
        if isinstance(made[0], Tensor):
            return torch.cat(made)
        return tuple(map(torch.cat, zip(*made, strict=True)))

    def _part(self, share: _Share, *inputs: Tensor) -> Any:
        with self._sharing(*share):
            return self._forward(*inputs)

    @contextmanager
    def _sharing(self, first: int, end: int, rows: int) -> Iterator[None]:
        """Let dropout know which rows of the batch come; the batch may be one worker's share already."""
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
