"""Data-parallel training of one network in several processes, with torch.distributed.

All processes take the same steps on the same batches and draw the same random numbers, those of the whole batch. Only
the forward and backward pass are split: each process computes its rows. The outputs of all processes are gathered
before the loss, so the loss is that of the whole batch in every process: a contrastive loss has all its negatives, a
mean all its rows. A learner does not depend on the number of processes. One all-reduce then averages all gradients.
Unlike `DistributedDataParallel`, this does not wrap the network, compiled or not.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainables.networks.dropout import Dropout, own_dropouts

Forward = Callable[..., Any]


class PeerLostError(RuntimeError):
    """Another process of this training does not answer."""


@dataclass(frozen=True)
class Team:
    """The processes of one training, from the view of one of them. With `size` 1 no method does anything."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates and that writes checkpoints and artifacts."""
        return self.rank == 0

    def sizes(self, rows: int) -> list[int]:
        """Return the number of rows of each process, for a batch of `rows`. They differ by at most one."""
        smallest, remainder = divmod(rows, self.size)
        return [smallest + (rank < remainder) for rank in range(self.size)]

    def broadcast(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `values` of the first process, a small JSON object, in all processes."""
        if self.size == 1:
            return dict(values)
        text = torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8, device=self.device)
        length = torch.tensor(len(text), device=self.device)
        with _peers():
            dist.broadcast(length, 0)
            received = text if self.leads else text.new_empty(int(length))
            dist.broadcast(received, 0)
        return dict(json.loads(bytes(received.tolist())))

    def equalise(self, module: nn.Module) -> None:
        """Copy the first process's parameters and buffers to `module`. Other hardware may initialise differently."""
        if self.size > 1:
            with _peers():
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace all gradients by their mean over the processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _peers():
            dist.all_reduce(flat)
        flat /= self.size
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(
            gradients, [mean.view_as(gradient) for mean, gradient in zip(means, gradients, strict=True)]
        )

    def spread(self, forward: Forward, model: nn.Module) -> Forward:
        """Return a function of whole batches that calls `forward`, which calls `model`, with this process's rows only.

        Raises:
            TypeError: `model` has a dropout whose draws would depend on the number of processes.
        """
        if self.size == 1:
            return forward
        return _Spread(self, forward, own_dropouts(model))


class _Spread:
    """Calls a function with this process's rows of every input and returns the outputs of all processes."""

    def __init__(self, team: Team, forward: Forward, dropouts: Sequence[Dropout]) -> None:
        self._team, self._forward, self._dropouts = team, forward, dropouts

    def __call__(self, *inputs: Tensor) -> Any:
        """Call it with a batch. An input with one row for all (a mask) is not split."""
        rows = len(inputs[0])
        sizes = self._team.sizes(rows)
        first = sum(sizes[: self._team.rank])
        end = first + sizes[self._team.rank]
        for dropout in self._dropouts:
            dropout.share = first, end, rows
        outputs = self._forward(*(x[first:end] if len(x) == rows else x for x in inputs))
        if isinstance(outputs, Tensor):
            return self._gather(outputs, sizes)
        return tuple(self._gather(output, sizes) for output in outputs)

    def _gather(self, own: Tensor, sizes: list[int]) -> Tensor:
        gathered: Tensor = _Gather.apply(own, sizes, self._team.rank)  # type: ignore[no-untyped-call]
        return gathered


class _Gather(torch.autograd.Function):
    """Concatenates the rows of all processes. The backward pass returns the gradient of the process's own rows.

    The loss is the same in every process, so the gradient of a process's rows is complete. It is multiplied by the
    number of processes, because gradients are averaged and not added. Averaging is right for parameters that the loss
    uses directly, such as a temperature.
    """

    @staticmethod
    def forward(context: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        context.sizes, context.rank = sizes, rank
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        with _peers():
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        own = torch.split(gradients[0], context.sizes)[context.rank]
        return own * len(context.sizes), None, None


@contextmanager
def _peers() -> Iterator[None]:
    """Raise `PeerLostError` in place of a RuntimeError of torch.distributed, which can also mean other errors."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(f"another worker of this training does not answer: {error}") from error
