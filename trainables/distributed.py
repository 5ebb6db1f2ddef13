"""Several processes that train one network together, by torch.distributed alone.

Every process takes the same steps on the same batches and draws the same random numbers, those of the whole batch; what
is split is the network's way forward and back. What the network makes of the shares is put together again before the
loss, which therefore sees the whole batch in every process: a contrastive loss has all its negatives, a mean all its
rows, and no learner need know how many processes there are. Gradients are then averaged by one all-reduce of all of
them, which leaves the network as it is (compiled or not) where `DistributedDataParallel` would wrap it.
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
    """Another process of this training does not answer any more."""


@dataclass(frozen=True)
class Team:
    """The processes of one training, seen from one of them; with `size` 1 nothing here does anything."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates and writes what lasts."""
        return self.rank == 0

    def sizes(self, rows: int) -> list[int]:
        """Return how many of a batch's `rows` each process has; they differ by one at most."""
        each, more = divmod(rows, self.size)
        return [each + (rank < more) for rank in range(self.size)]

    def told(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the first process calls this with: a small JSON object, the same in all processes."""
        if self.size == 1:
            return dict(values)
        text = torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8, device=self.device)
        length = torch.tensor(len(text), device=self.device)
        with _answering():
            dist.broadcast(length, 0)
            told = text if self.leads else text.new_empty(int(length))
            dist.broadcast(told, 0)
        values = json.loads(bytes(told.tolist()))
        return dict(values)

    def equalise(self, module: nn.Module) -> None:
        """Give `module` the first process's parameters and buffers: other hardware may have initialised otherwise."""
        if self.size > 1:
            with _answering():
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace all gradients by their mean over the processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _answering():
            dist.all_reduce(flat)
        flat /= self.size
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [mean.view_as(to) for mean, to in zip(means, gradients, strict=True)])

    def spread(self, forward: Forward, model: nn.Module) -> Forward:
        """Return `forward`, which calls `model`, as a function of whole batches that computes only this share.

        Raises:
            TypeError: `model` holds a dropout whose draws would depend on the number of processes.
        """
        if self.size == 1:
            return forward
        return _Spread(self, forward, own_dropouts(model))


class _Spread:
    """Takes this process's rows of every input, and gives back what all processes made of theirs."""

    def __init__(self, team: Team, forward: Forward, dropouts: Sequence[Dropout]) -> None:
        self._team, self._forward, self._dropouts = team, forward, dropouts

    def __call__(self, *inputs: Tensor) -> Any:
        """Call it with a batch; an input of one row for all (a mask) is not split."""
        rows = len(inputs[0])
        sizes = self._team.sizes(rows)
        first = sum(sizes[: self._team.rank])
        end = first + sizes[self._team.rank]
        for dropout in self._dropouts:
            dropout.share = first, end, rows
        made = self._forward(*(x[first:end] if len(x) == rows else x for x in inputs))
        if isinstance(made, Tensor):
            return self._together(made, sizes)
        return tuple(self._together(part, sizes) for part in made)

    def _together(self, mine: Tensor, sizes: list[int]) -> Tensor:
        whole: Tensor = _Together.apply(mine, sizes, self._team.rank)  # type: ignore[no-untyped-call]
        return whole


class _Together(torch.autograd.Function):
    """Rows of all processes, one after the other; the gradient of its own rows goes back into each process.

    The loss is the same in every process, so that the gradient of a process's rows is whole already. It is multiplied
    by the number of processes since gradients are averaged, not added: that is right for parameters that the loss uses
    itself, such as a temperature.
    """

    @staticmethod
    def forward(context: Any, mine: Tensor, sizes: list[int], rank: int) -> Tensor:
        context.sizes, context.rank = sizes, rank
        padded = mine.new_zeros((max(sizes), *mine.shape[1:]))
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in sizes]
        with _answering():
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        own = torch.split(gradients[0], context.sizes)[context.rank]
        return own * len(context.sizes), None, None


@contextmanager
def _answering() -> Iterator[None]:
    """Tell a process that is gone from a mistake of this one: torch raises a plain RuntimeError for both."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(f"another worker of this training does not answer: {error}") from error
