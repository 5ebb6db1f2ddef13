"""What a stage sees while it runs: its config, its inputs, and the small context a training loop is written against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from storage.runs import Artifacts, Checkpoints
from trainables.config.trial import TrialConfig


class Report(Protocol):
    """Receives the metrics of one epoch (names without the stage, epochs from 1)."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take in one epoch."""


def silent(epoch: int, metrics: Mapping[str, float]) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Context:
    """Where and for whom a stage runs. Nothing in it may change what comes out.

    `report` may raise to stop the run (early stopping by a scheduler): loops let it pass.
    """

    output: Path
    """An empty folder; what lies in it when the stage returns becomes the run's artifacts."""
    checkpoints: Checkpoints
    report: Report = silent
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True)
class StageTask:
    """Everything a stage's function is given."""

    config: TrialConfig
    seed: int
    inputs: Mapping[str, Artifacts]
    """Stage name to what that stage run made."""
    context: Context


@dataclass(frozen=True)
class StageResult:
    """What a stage's function returns, beside the files in `context.output`."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final metrics, names without the stage."""
    history: tuple[Mapping[str, float], ...] = ()
    """Metrics per epoch, from epoch 1."""
    info: Mapping[str, str] = field(default_factory=dict)
    """Facts for the manifest: parameter count, best epoch, device."""


StageFunction = Callable[[StageTask], StageResult]
