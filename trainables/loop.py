"""The training loop of all decoders: early stopping, checkpoints, exact resume. One step of it: `trainables.descent`.

On a CPU, a run that is interrupted after any epoch and resumed gives the same bits as an uninterrupted run. The batch
order, masks, augmentation and dropout of an epoch come from random streams of that epoch (`trainables.randomness`). A
checkpoint holds the rest of the state. Within an epoch the loop reads no value back from the device.

Several processes can run one loop together (`trainables.distributed`). Their weights are equal up to rounding, so a
checkpoint can be continued by any number of processes.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.config.decoders import NO_FINE_TUNING, FineTuneConfig, TrainConfig
from trainables.context import Context
from trainables.descent import Descent, Moment, Opponent, opposed
from trainables.distributed import Forward, Team
from trainables.failure import cause_of
from trainables.free_memory import free_on_gpu
from trainables.gpu import refuse_lacking, stated_products
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
        """The number of training rows of the epoch that has begun."""

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


class WithoutState:
    """The part of a learner that draws nothing for an epoch, and that has no state beside its weights."""

    def begin_epoch(self, streams: Streams) -> None:
        """Draw nothing."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore nothing."""


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
    fine_tune: FineTuneConfig = NO_FINE_TUNING

    @property
    def first_kept(self) -> int:
        """The first epoch whose weights may be kept: with fine-tuning, the first of these epochs."""
        tuned = self.fine_tune.epochs
        return 1 if tuned == 0 else self.config.epochs - tuned + 1

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
    steps: int = 0
    """Optimiser steps so far."""


def pick_device(name: str) -> torch.device:
    """Return the torch device for "auto", "cpu" or "cuda" on this machine."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    # With its index: each of several workers on a machine has its own GPU, and safetensors would use the first.
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def kept_epoch(progress: LoopState, config: TrainConfig) -> int:
    """Return the epoch whose weights are kept."""
    return progress.epoch if config.keep == "last" else progress.best_epoch


def train(learner: Learner, job: Job, opponents: Sequence[Opponent] = ()) -> LoopState:
    """Train `learner.model`, from the latest checkpoint if there is one. `config.keep` says which weights it has then.

    The metrics of an epoch have the mean of each opponent's loss as `loss_NAME`.

    Raises:
        DivergedError: A loss or a metric is not finite.
        ValueError: The GPU lacks the number format of the config.
    """
    config = job.config
    of = f"{job.stage}.train"
    refuse_lacking(job.device, bf16=config.precision == "bf16", field=f"{of}.precision")
    refuse_lacking(job.device, tf32=config.products == "tf32", field=f"{of}.products")
    loop = _Loop(learner, job, opponents)
    loop.resume()
    with stated_products(tf32=config.products == "tf32"):
        while not loop.finished():
            loop.run_epoch()
    learner.model.load_state_dict(loop.kept)
    return loop.progress


class _Loop:
    """The state of one training: learner, optimiser, progress and the weights that are kept."""

    def __init__(self, learner: Learner, job: Job, opponents: Sequence[Opponent]) -> None:
        self.learner, self.job, self.team = learner, job, job.team
        self.progress = LoopState()
        self.kept: dict[str, Tensor] = {}
        model = learner.model.to(job.device)
        theirs = {id(p) for opponent in opponents for p in opponent.networks.parameters()}
        own = [p for p in model.parameters() if p.requires_grad and id(p) not in theirs]
        self.descents = {f"_{opponent.name}": opposed(opponent) for opponent in opponents}
        """The end of the names of its loss and of its file, to each optimiser, in the order of their steps."""
        self.descents[""] = Descent(learner.loss, model, own, job.config)
        self._compute(job.config.micro_batch)
        self.chosen = job.config.micro_batch is not None

    def _compute(self, micro_batch: int | None) -> None:
        """Compute `micro_batch` rows of a batch at a time (None: all), together with the other processes."""
        for descent in self.descents.values():
            descent.share(self.learner.model, self.team, rows=micro_batch)

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
            self._compute(fitting)
            self.job.context.telemetry.warn(
                f"{self.job.stage}: a batch of {len(own)} does not fit into the free memory of the GPU "
                f"({free / 1e9:.1f} GB), so {fitting} rows are computed at a time; results differ by rounding only"
            )

    def finished(self) -> bool:
        """Return whether the last epoch is reached, or early stopping has run out of patience."""
        progress, config = self.progress, self.job.config
        waited = progress.epoch - max(progress.best_epoch, self.job.first_kept - 1)
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
        batches = torch.split(order, self.job.config.batch_size)
        losses = {name: torch.empty(len(batches), device=self.job.device) for name in self.descents}
        with streams.as_default("dropout"):
            for i, rows in enumerate(batches):
                moment = Moment(self.progress.steps + i + 1, epoch)
                for name in self.descents:
                    losses[name][i] = self._step(name, rows, streams, moment)
        self._check(losses, epoch)
        self.progress.steps += len(batches)
        self.learner.model.eval()
        means = {f"loss{name}": values.mean().item() for name, values in losses.items()}
        metrics = {**means, **self.learner.evaluate()} if self.team.leads else {}
        metrics = self.team.broadcast(metrics)
        self._record(epoch, metrics)
        # Repeating the work after the last epoch is cheaper than saving.
        if self.team.leads and not self.finished() and self.job.context.pace.due():
            self._save()
        if epoch == self.job.config.epochs or not self.finished():
            self.job.context.report(epoch, metrics)
        # else patience has run out: no scheduler may stop what is complete, and the row follows with the stage run.

    def _step(self, name: str, rows: Tensor, streams: Streams, moment: Moment) -> Tensor:
        with self._alone(self.descents[name]):
            return self.descents[name].step(rows, streams, moment, team=self.team, width=self.job.width)

    @contextmanager
    def _alone(self, descent: Descent) -> Iterator[None]:
        """Let no parameters but its own have gradients: what opponents learn from a loss of the model is not needed."""
        others = [p for other in self.descents.values() if other is not descent for p in other.parameters]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _check(self, losses: Mapping[str, Tensor], epoch: int) -> None:
        for name, values in losses.items():
            finite = values.isfinite()
            if not finite.all():
                step = int((~finite).int().argmax())
                raise DivergedError(
                    f"{self.job.stage}: the loss{name} is {values[step].item()} at epoch {epoch}, "
                    f"step {step + 1} of {len(values)}; a smaller lr or a longer warm-up may help"
                )

    def _record(self, epoch: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():  # all of them: ranks, for example, are finite whatever the network gives
            if not math.isfinite(value):
                raise DivergedError(f"{self.job.stage}: {name} is {value} after epoch {epoch}")
        progress, value = self.progress, metrics[self.job.monitor]
        progress.epoch = epoch
        progress.history.append(metrics)
        better = value < progress.best_value if self.job.goal == "min" else value > progress.best_value
        if epoch >= self.job.first_kept and (progress.best_epoch == 0 or better):
            progress.best_epoch, progress.best_value = epoch, value
        if kept_epoch(progress, self.job.config) == epoch:
            self.kept = {name: tensor.clone() for name, tensor in self.learner.model.state_dict().items()}

    def _save(self) -> None:
        """Save a checkpoint as safetensors and JSON. The kept weights are left out if they are the latest ones."""
        with self.job.context.checkpoint(self.progress.epoch) as folder:
            save_file(self.learner.model.state_dict(), folder / "model.safetensors")
            if kept_epoch(self.progress, self.job.config) != self.progress.epoch:
                save_file(self.kept, folder / "best.safetensors")
            for name, descent in self.descents.items():
                save_file(descent.tensors(), folder / f"optimizer{name}.safetensors")
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
        for descent in self.descents.values():
            descent.start_over()
        self.kept, self.progress = {}, LoopState()

    def _load(self, folder: Path) -> None:
        device = str(self.job.device)
        self.learner.model.load_state_dict(load_file(folder / "model.safetensors", device=device))
        best = folder / "best.safetensors"
        self.kept = load_file(best if best.exists() else folder / "model.safetensors", device=device)
        for name, descent in self.descents.items():
            descent.restore(load_file(folder / f"optimizer{name}.safetensors", device=device))
        progress = json.loads((folder / "progress.json").read_text())
        # A checkpoint without its steps was written when all epochs had the same rows.
        steps = progress["epoch"] * math.ceil(self.learner.rows / self.job.config.batch_size)
        self.progress = LoopState(**{"steps": steps, **progress})
        self.learner.restore(load_file(folder / "learner.safetensors", device=device))
