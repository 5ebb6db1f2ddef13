"""The training loop of all decoders: optimiser, schedule, early stopping, checkpoints, exact resume.

On a CPU, a run that is interrupted after any epoch and resumed gives the same bits as an uninterrupted run. The batch
order, masks, augmentation and dropout of an epoch come from random streams of that epoch (`trainables.randomness`). A
checkpoint holds the rest of the state. Within an epoch no value is read back from the device.

Several processes can run one loop together (`trainables.distributed`). Their weights are equal up to rounding, so a
checkpoint can be continued by any number of processes.
"""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.config.decoders import TrainConfig
from trainables.context import Context
from trainables.distributed import Forward, Team
from trainables.failure import cause_of
from trainables.free_memory import free_on_gpu
from trainables.gpu import refuse_lacking, stated_products
from trainables.kinds import of_kind
from trainables.micro_batch import InParts
from trainables.randomness import Streams
from trainables.step_memory import inputs_of_step, rows_that_fit

History = list[dict[str, float]]


class DivergedError(RuntimeError):
    """A loss or a metric became NaN or infinite."""


class Learner(Protocol):
    """The object that the loop trains: a network with its training loss and its validation metrics."""

    @property
    def model(self) -> nn.Module:
        """The network."""

    @property
    def rows(self) -> int:
        """The number of training rows."""

    def begin_epoch(self, streams: Streams) -> None:
        """Draw the random values that stay fixed for one epoch."""

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows `rows` [batch].

        Call `forward` instead of the model, exactly once, with the whole batch. It may be compiled, or distributed over
        several processes.
        """

    def evaluate(self) -> dict[str, float]:
        """Return the validation metrics. The model is in evaluation mode."""

    def state(self) -> dict[str, Tensor]:
        """Return the state, other than the weights, that a checkpoint must hold."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""


@dataclass(frozen=True)
class Job:
    """The settings of one training."""

    stage: str
    seed: int
    config: TrainConfig
    width: int
    """Model size in the `noam` schedule."""
    monitor: str
    """The metric that decides which epoch's weights are kept and when to stop."""
    goal: Literal["min", "max"]
    context: Context

    @property
    def device(self) -> torch.device:
        """The device to train on."""
        return pick_device(self.config.device)

    @property
    def team(self) -> Team:
        """The processes that train together."""
        return Team(self.context.rank, self.context.world_size, self.device)

    def streams(self, epoch: int) -> Streams:
        """Return the random streams of `epoch`, counted from 1. Epoch 0 is before training."""
        return Streams(self.seed, self.stage, epoch=epoch)


@dataclass
class LoopState:
    """The progress of a training: the content of a checkpoint that is not tensors."""

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = math.nan
    history: History = field(default_factory=list)


def pick_device(name: str) -> torch.device:
    """Return the torch device for "auto", "cpu" or "cuda" on this machine."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    # With its index: each of several workers on a machine has its own GPU, and safetensors would use the first.
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def compiled(model: nn.Module) -> Forward:
    """Return `model` compiled. It draws the random numbers of the uncompiled one."""
    return torch.compile(model, options={"fallback_random": True})


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


def kept_epoch(progress: LoopState, config: TrainConfig) -> int:
    """Return the epoch whose weights are kept."""
    return progress.epoch if config.keep == "last" else progress.best_epoch


def train(learner: Learner, job: Job) -> LoopState:
    """Train `learner.model`, from the latest checkpoint if there is one. `config.keep` says which weights it has then.

    Raises:
        DivergedError: A loss or a metric is not finite.
        ValueError: The GPU lacks the number format of the config.
    """
    config = job.config
    of = f"{job.stage}.train"
    refuse_lacking(job.device, bf16=config.precision == "bf16", field=f"{of}.precision")
    refuse_lacking(job.device, tf32=config.products == "tf32", field=f"{of}.products")
    loop = _Loop(learner, job)
    loop.resume()
    with stated_products(tf32=job.config.products == "tf32"):
        while not loop.finished():
            loop.run_epoch()
    learner.model.load_state_dict(loop.kept)
    return loop.progress


class _Loop:
    """The state of one training: learner, optimiser, progress and the weights that are kept."""

    def __init__(self, learner: Learner, job: Job) -> None:
        self.learner, self.job, self.team = learner, job, job.team
        self.progress = LoopState()
        self.kept: dict[str, Tensor] = {}
        config, device = job.config, job.device
        learner.model.to(device)
        self.forward = self._forward(config.micro_batch)
        self.chosen = config.micro_batch is not None
        self.parameters = [p for p in learner.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, config)
        self.steps = math.ceil(learner.rows / config.batch_size)

    def _forward(self, micro_batch: int | None) -> Forward:
        """Return what computes a batch: `micro_batch` rows at a time (None: all), together with the other processes."""
        model = self.learner.model
        forward: Forward = compiled(model) if self.job.config.compile else model
        if micro_batch is not None:
            forward = InParts(forward, model, rows=micro_batch)
        return self.team.spread(forward, model)

    def _fit_into_memory(self, rows: Tensor, streams: Streams) -> None:
        """On a GPU that a batch like `rows` is too large for, compute fewer rows at a time from now on.

        Raises:
            TooLargeError: One row is too much.
        """
        self.chosen = True
        free = free_on_gpu(self.job.device)
        if free is None:
            return
        own = rows[: self.team.sizes(len(rows))[0]]
        inputs = inputs_of_step(lambda network: self.learner.loss(network, own, streams))
        fitting = rows_that_fit(self.learner.model, inputs, self.job.config, free=free)
        if fitting is not None:
            self.forward = self._forward(fitting)
            self.job.context.telemetry.warn(
                f"{self.job.stage}: a batch of {len(own)} does not fit into the free memory of the GPU "
                f"({free / 1e9:.1f} GB), so {fitting} rows are computed at a time; results differ by rounding only"
            )

    def finished(self) -> bool:
        """Return whether the last epoch is reached, or early stopping has run out of patience."""
        progress, config = self.progress, self.job.config
        waited = progress.epoch - progress.best_epoch
        return progress.epoch >= config.epochs or (config.patience > 0 and waited >= config.patience)

    def run_epoch(self) -> None:
        """Train one epoch, validate, keep the weights if they are the best or the last ones, save, then report."""
        epoch = self.progress.epoch + 1
        streams = self.job.streams(epoch)
        self.learner.begin_epoch(streams)
        self.learner.model.train()
        order = torch.randperm(self.learner.rows, generator=streams["order"]).to(self.job.device)
        if not self.chosen:
            self._fit_into_memory(order[: self.job.config.batch_size], self.job.streams(epoch))
        losses = torch.empty(self.steps, device=self.job.device)
        with streams.as_default("dropout"):
            for i, rows in enumerate(torch.split(order, self.job.config.batch_size)):
                losses[i] = self._step(rows, streams, (epoch - 1) * self.steps + i + 1)
        self._check(losses, epoch)
        self.learner.model.eval()
        metrics = {"loss": losses.mean().item(), **self.learner.evaluate()} if self.team.leads else {}
        metrics = self.team.broadcast(metrics)
        self._record(epoch, metrics)
        # Repeating the work after the last epoch is cheaper than saving.
        if self.team.leads and not self.finished() and self.job.context.pace.due():
            self._save()
        if epoch == self.job.config.epochs or not self.finished():
            self.job.context.report(epoch, metrics)
        # else patience has run out: no scheduler may stop what is complete, and the row follows with the stage run.

    def _step(self, rows: Tensor, streams: Streams, step: int) -> Tensor:
        config, epoch = self.job.config, self.progress.epoch + 1
        self.optimizer.zero_grad(set_to_none=True)
        with precision(config, self.job.device):
            loss = self.learner.loss(self.forward, rows, streams)
        loss.backward()  # type: ignore[no-untyped-call]
        self.team.average_gradients(self.parameters)
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, config.clip_norm, foreach=True)
        add_l1_gradient(self.parameters, l1_weight(config, epoch))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, step=step, epoch=epoch, width=self.job.width)
        self.optimizer.step()
        return loss.detach()

    def _check(self, losses: Tensor, epoch: int) -> None:
        finite = losses.isfinite()
        if not finite.all():
            step = int((~finite).int().argmax())
            raise DivergedError(
                f"{self.job.stage}: the loss is {losses[step].item()} at epoch {epoch}, "
                f"step {step + 1} of {self.steps}; a smaller lr or a longer warm-up may help"
            )

    def _record(self, epoch: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():  # all of them: ranks, for example, are finite whatever the network gives
            if not math.isfinite(value):
                raise DivergedError(f"{self.job.stage}: {name} is {value} after epoch {epoch}")
        progress, value = self.progress, metrics[self.job.monitor]
        progress.epoch = epoch
        progress.history.append(metrics)
        better = value < progress.best_value if self.job.goal == "min" else value > progress.best_value
        if progress.best_epoch == 0 or better:
            progress.best_epoch, progress.best_value = epoch, value
        if kept_epoch(progress, self.job.config) == epoch:
            self.kept = {name: tensor.clone() for name, tensor in self.learner.model.state_dict().items()}

    def _save(self) -> None:
        """Save a checkpoint as safetensors and JSON. The kept weights are left out if they are the latest ones."""
        with self.job.context.checkpoint(self.progress.epoch) as folder:
            save_file(self.learner.model.state_dict(), folder / "model.safetensors")
            if kept_epoch(self.progress, self.job.config) != self.progress.epoch:
                save_file(self.kept, folder / "best.safetensors")
            save_file(self._optimizer_tensors(), folder / "optimizer.safetensors")
            save_file(self.learner.state(), folder / "learner.safetensors")
            (folder / "progress.json").write_text(json.dumps(self.progress.__dict__))

    def resume(self) -> None:
        """Continue from the latest checkpoint, if there is one.

        Raises:
            RuntimeError: The processes that train together found different checkpoints.
        """
        self._restore()
        self.team.equalise(self.learner.model)
        first = self.team.broadcast({"epoch": self.progress.epoch})["epoch"]
        if first != self.progress.epoch:
            raise RuntimeError(
                f"{self.job.stage}: worker 0 continues after epoch {first}, worker {self.team.rank} after "
                f"{self.progress.epoch}; all nodes must reach the same store"
            )
        for epoch, metrics in enumerate(self.progress.history, start=1):  # see `Context.report`
            self.job.context.report(epoch, metrics)

    def _restore(self) -> None:
        """Load the latest checkpoint. One that does not fit, such as one of a network of other sizes, is not used."""
        latest = self.job.context.checkpoints.latest()
        if latest is None:
            return
        epoch, folder = latest
        untrained = {name: tensor.clone() for name, tensor in self.learner.model.state_dict().items()}
        try:
            self._load(folder)
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            if cause_of(error) != "ERROR":  # no memory, or a lost device: the checkpoint may be sound
                raise
            self._start_over(untrained)
            self.job.context.telemetry.warn(
                f"{self.job.stage}: the checkpoint of epoch {epoch} cannot be continued, training starts over: {error}"
            )

    def _start_over(self, untrained: Mapping[str, Tensor]) -> None:
        self.learner.model.load_state_dict(untrained)
        self.optimizer = make_optimizer(self.parameters, self.job.config)
        self.kept, self.progress = {}, LoopState()

    def _load(self, folder: Path) -> None:
        device = str(self.job.device)
        self.learner.model.load_state_dict(load_file(folder / "model.safetensors", device=device))
        best = folder / "best.safetensors"
        self.kept = load_file(best if best.exists() else folder / "model.safetensors", device=device)
        self._restore_optimizer(load_file(folder / "optimizer.safetensors", device=device))
        self.progress = LoopState(**json.loads((folder / "progress.json").read_text()))
        self.learner.restore(load_file(folder / "learner.safetensors", device=device))

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        states = self.optimizer.state_dict()["state"]
        return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        states: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, _, name = key.partition(".")
            states.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})


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
