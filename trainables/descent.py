"""One optimiser of a training: the parameters that it changes, the loss that it lowers, its step and its state."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config.decoders import TrainConfig
from trainables.distributed import Forward, Team
from trainables.kinds import of_kind
from trainables.micro_batch import InParts
from trainables.randomness import Streams

Loss = Callable[[Forward, Tensor, Streams], Tensor]
"""From a function to call instead of the network, the training rows [batch] and random streams to the loss."""


@dataclass(frozen=True)
class Opponent:
    """Networks that are trained against the model, such as discriminators, with a loss and an optimiser of their own.

    At each batch they take their step before the model does.
    """

    name: str
    networks: nn.Module
    """A part of the model, so that checkpoints hold it. The model's own loss does not change its parameters."""
    forward: Forward
    """What `loss` calls, exactly once, with the whole batch: a function of tensors that calls `networks`."""
    loss: Loss
    config: TrainConfig
    """Its learning rate and the rest of its optimiser. Epochs and batches are those of the model."""


@dataclass(frozen=True)
class Moment:
    """Where in a training a step lies."""

    step: int
    """Counted from 1 over all epochs."""
    epoch: int
    """Counted from 1."""


class Descent:
    """An optimiser with the loss that it lowers."""

    def __init__(self, loss: Loss, network: Forward, parameters: Iterable[nn.Parameter], config: TrainConfig) -> None:
        """`network` is what `loss` calls: a network, or a method of one."""
        self.loss, self.config = loss, config
        self._network = self._forward = network
        self.parameters = list(parameters)
        self.optimizer = make_optimizer(self.parameters, config)

    def share(self, model: nn.Module, team: Team, *, rows: int | None) -> None:
        """Compute `rows` of a batch at a time (None: all), together with the other processes of `team`.

        Args:
            model: Has all that the network consists of.
            team: The processes that train together.
            rows: Of those of this process.
        """
        forward: Forward = compiled(self._network) if self.config.compile else self._network
        if rows is not None:
            forward = InParts(forward, model, rows=rows)
        self._forward = team.spread(forward, model)

    def start_over(self) -> None:
        """Forget the optimiser's state."""
        self.optimizer = make_optimizer(self.parameters, self.config)

    def step(self, rows: Tensor, streams: Streams, moment: Moment, *, team: Team, width: int) -> Tensor:
        """Take one step on training rows `rows` [batch]; return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        with precision(self.config, team.device):
            loss = self.loss(self._forward, rows, streams)
        loss.backward()  # type: ignore[no-untyped-call]
        team.average_gradients(self.parameters)
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm, foreach=True)
        add_l1_gradient(self.parameters, l1_weight(self.config, moment.epoch))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step=moment.step, epoch=moment.epoch, width=width)
        self.optimizer.step()
        return loss.detach()

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimiser's state, for a checkpoint."""
        states = self.optimizer.state_dict()["state"]
        return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned."""
        states: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, _, name = key.partition(".")
            states.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})


def opposed(opponent: Opponent) -> Descent:
    """Return the optimiser of an opponent."""
    return Descent(opponent.loss, opponent.forward, opponent.networks.parameters(), opponent.config)


def compiled(forward: Forward) -> Forward:
    """Return `forward`, a network or a method of one, compiled. It draws the random numbers of the uncompiled one."""
    return torch.compile(forward, options={"fallback_random": True})


def precision(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Return the autocast context of `config.precision`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16")


def learning_rate(config: TrainConfig, *, step: int, epoch: int, width: int) -> float:
    """Return the learning rate of `step` (from 1) in `epoch` (from 1)."""
    return of_kind(_SCHEDULES, config.schedule, field="train.schedule")(config, step, epoch, width)


def _constant(config: TrainConfig, step: int, epoch: int, width: int) -> float:
    return config.lr * (min(1.0, step / config.warmup_steps) if config.warmup_steps > 0 else 1.0)


def _exponential(config: TrainConfig, step: int, epoch: int, width: int) -> float:
    decay: float = config.gamma ** (epoch - 1)
    return _constant(config, step, epoch, width) * decay


def _noam(config: TrainConfig, step: int, epoch: int, width: int) -> float:
    """Return the learning rate of the released code: `lr` has no effect (mind-animator.md B08)."""
    warmup = max(config.warmup_steps, 1)
    return float(width**-0.5 * min(step**-0.5, step * warmup**-1.5))


def _cosine(config: TrainConfig, step: int, epoch: int, width: int) -> float:
    return _constant(config, step, epoch, width) * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2


_SCHEDULES: Mapping[str, Callable[[TrainConfig, int, int, int], float]] = {
    "constant": _constant,
    "exponential": _exponential,
    "noam": _noam,
    "cosine": _cosine,
}
"""`train.schedule` to the function that returns the learning rate."""


def l1_weight(config: TrainConfig, epoch: int) -> float:
    """Return the weight of the L1 penalty in `epoch` (from 1). Its decay accelerates (mind-animator.md B10)."""
    passed = epoch - 1
    return config.l1 * math.exp(-config.l1_decay * passed * (passed - 1) / 2)


def make_optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam, or AdamW if the config sets weight decay. The fused kernel runs on CPU and CUDA."""
    kind = torch.optim.AdamW if config.weight_decay > 0 else torch.optim.Adam
    return kind(
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )


def add_l1_gradient(parameters: list[nn.Parameter], weight: float) -> None:
    """Add the gradient of the L1 penalty `weight` * sum |p| to all parameters. The penalty itself is not computed."""
    if weight > 0:
        learned = [(p.detach(), p.grad) for p in parameters if p.grad is not None]
        signs = torch._foreach_sign([p for p, _ in learned])
        torch._foreach_add_([gradient for _, gradient in learned], signs, alpha=weight)
