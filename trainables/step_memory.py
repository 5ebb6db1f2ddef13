"""How much memory a training step needs, known before it runs, and how many rows at a time fit into what is free.

Forward and backward pass run on tensors without values (`FakeTensorMode`: tensors of the meta device that behave like
those of a CPU). What is alive at each moment is added up: the tensors that are saved for the backward pass, gradients,
and what an operation needs for a moment. That takes a few tenths of a second and no memory. A GPU's kernels save the
same tensors, but for what attention keeps of its mask.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from trainables.config.decoders import TrainConfig

_MARGIN = 1.1
"""Of what a forecast says: allocators round sizes up and leave gaps, and the forecast itself is within 10 %."""
_OUTPUT_COPIES = 4
"""Of a batch in parts, as a whole: outputs in parts and in one, a difference that the loss squares, a gradient."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one training, on the device that trains."""

    held: int
    """From the first step to the last: weights, those of the best epoch, and Adam's averages of what is trained."""
    step: int
    """What a step takes beside that, at most."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.held + self.step


class TooLargeError(ValueError):
    """A training does not fit into the memory of its device, however few rows it computes at a time."""


class _Inputs(Exception):
    """Carries what a learner would have given to its network."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.inputs = inputs


def inputs_of_step(loss: Callable[[Callable[..., Any]], Tensor]) -> tuple[Tensor, ...]:
    """Return the inputs that `loss` gives to the network. The network is not called.

    Args:
        loss: From a network to the loss; it calls the network once.
    """

    def network(*inputs: Tensor) -> Any:
        raise _Inputs(inputs)

    try:
        loss(network)
    except _Inputs as asked:
        return asked.inputs
    raise ValueError("the loss did not call the network")


def forecast(model: nn.Module, inputs: Sequence[Tensor], config: TrainConfig, *, rows: int | None = None) -> StepMemory:
    """Return the memory of training `model` on batches like `inputs`, `rows` at a time (None: all).

    Inputs without a row per clip (a mask for all) count as they are.
    """
    batch = len(inputs[0])
    part = batch if rows is None else min(rows, batch)
    weights, trained = _bytes(model.parameters()), _bytes(p for p in model.parameters() if p.requires_grad)
    peak, outputs = _peak(model, [(part if len(x) == batch else len(x), x) for x in inputs], config)
    if part < batch:
        peak += _OUTPUT_COPIES * outputs * batch // part
    copies = 1 + (config.l1 > 0) + (config.workers != 1)  # gradients; signs of weights; all gradients in a row
    after = trained * copies
    return StepMemory(held=2 * (weights + trained), step=max(peak, after))


def rows_that_fit(model: nn.Module, inputs: Sequence[Tensor], config: TrainConfig, *, free: int) -> int | None:
    """Return how many rows of `inputs` to compute at a time in `free` bytes beside the weights. None: all of them.

    The weights are on the device already, and are none of the free bytes. Each try halves the rows.

    Raises:
        TooLargeError: One row is too much, with the numbers.
    """
    rows = len(inputs[0])
    weights = _bytes(model.parameters())
    while True:
        needed = int(_MARGIN * (forecast(model, inputs, config, rows=rows).total - weights))
        if needed <= free:
            return None if rows == len(inputs[0]) else rows
        if rows == 1:
            raise TooLargeError(
                f"a training step with one row at a time needs {needed / 1e9:.2f} GB beside its weights and data, but "
                f"{free / 1e9:.2f} GB are free; train a smaller network, or fewer trials at a time (--max-concurrent)"
            )
        rows //= 2


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak(model: nn.Module, inputs: Sequence[tuple[int, Tensor]], config: TrainConfig) -> tuple[int, int]:
    """Return the bytes of a step at its peak, and those of the outputs. `inputs`: each with its number of rows."""
    state = torch.random.get_rng_state()  # dropout draws from it
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            weights = {name: _fake(p).requires_grad_(p.requires_grad) for name, p in model.named_parameters()}
            buffers = {name: _fake(b) for name, b in model.named_buffers()}
            batch = [torch.empty(rows, *x.shape[1:], dtype=x.dtype) for rows, x in inputs]
            with _Alive() as alive:
                return alive.peak_of(model, {**weights, **buffers}, batch, config), alive.outputs
    finally:
        torch.random.set_rng_state(state)


def _fake(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype)


class _Alive(TorchDispatchMode):
    """Adds up the bytes of the tensors that operations made and that something still holds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bytes: dict[int, weakref.ref[Any]] = {}
        self._held: set[int] = set()
        self._now = self._most = self.outputs = 0

    def peak_of(
        self, model: nn.Module, state: Mapping[str, Tensor], batch: Sequence[Tensor], config: TrainConfig
    ) -> int:
        """Return the most that is alive during forward and backward pass."""
        self._held = {x.untyped_storage()._cdata for x in state.values()}
        was_training = model.training
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16"):
            made = functional_call(model, dict(state), tuple(batch))
        outputs = (made,) if isinstance(made, Tensor) else tuple(made)
        self.outputs = sum(x.numel() * x.element_size() for x in outputs)
        loss = torch.stack([(x.float() - _fake(x.float())).square().mean() for x in outputs]).sum()
        del made, outputs
        loss.backward()  # type: ignore[no-untyped-call]
        model.train(was_training)
        return self._most

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **({} if kwargs is None else kwargs))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._bytes and key not in self._held:  # a view adds nothing
            self._bytes[key] = weakref.ref(storage, lambda _: self._forget(key, size))
            self._now += size
            self._most = max(self._most, self._now)

    def _forget(self, key: int, size: int) -> None:
        del self._bytes[key]
        self._now -= size
