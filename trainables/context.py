"""What a stage sees while it runs: its config, its inputs, and the small context a training loop is written against."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from storage.errors import StoreError
from storage.runs import Artifacts
from trainables.config.trial import TrialConfig
from trainables.failure import cause_of
from trainables.keeping import CheckpointKeeper, lost_checkpoint
from trainables.telemetry import Telemetry


class EpochReport(Protocol):
    """Receives the metrics of one epoch (names without the stage, epochs from 1)."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take in one epoch."""


def silent(epoch: int, metrics: Mapping[str, float]) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Part:
    """Which of the processes that execute a stage run together this one is, and whom it tells about epochs."""

    report: EpochReport = silent
    rank: int = 0
    world_size: int = 1
    telemetry: Telemetry = field(default_factory=Telemetry)


@dataclass(frozen=True)
class Context:
    """Where and for whom a stage runs. Nothing in it may change what comes out.

    `report` may raise to stop the run (early stopping by a scheduler): loops let it pass.
    """

    output: Path
    """An empty folder; what lies in it when the stage returns becomes the run's artifacts."""
    checkpoints: CheckpointKeeper
    report: EpochReport = silent
    rank: int = 0
    world_size: int = 1
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Is told where the time goes."""

    @contextmanager
    def checkpoint(self, epoch: int) -> Iterator[Path]:
        """Yield an empty folder; the files that are put into it are kept as the checkpoint of `epoch`.

        A full disk or an absent store costs the checkpoint, with a warning, not the training.
        """
        with self.telemetry.spending("checkpoint"), tempfile.TemporaryDirectory(prefix="mindsweep-") as folder:
            try:
                yield Path(folder)
                self.checkpoints.save(epoch, Path(folder))
            except Exception as error:
                if not isinstance(error, StoreError) and cause_of(error) != "DISK_FULL":
                    raise
                self.telemetry.warn(lost_checkpoint(epoch, error))


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
