"""The interface between a stage and its executor: config, seed, inputs, output folder, checkpoints and reports."""

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
from trainables.keeping import CheckpointKeeper, Pace, lost_checkpoint
from trainables.telemetry import Telemetry


class EpochReport(Protocol):
    """Receives the metrics of one epoch (names without the stage, epochs from 1)."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Receive the metrics of one epoch."""


def silent(epoch: int, metrics: Mapping[str, float]) -> None:
    """Ignore the report."""


@dataclass(frozen=True)
class Part:
    """The role of this process in the execution of a stage run: its rank, the number of workers, and its report."""

    report: EpochReport = silent
    rank: int = 0
    world_size: int = 1
    telemetry: Telemetry = field(default_factory=Telemetry)
    under_ray_train: bool = False
    """Whether the process is a worker of Ray Train's."""


@dataclass(frozen=True)
class Context:
    """The environment of a stage's execution. Nothing in it may change the result.

    `report` may raise to stop the run (early stopping by a scheduler). Training loops must not catch that exception.
    A stage that continues from a checkpoint reports the epochs before it again: a killed driver may have lost their
    rows, or the decision to stop there.
    """

    output: Path
    """An empty folder. The files in it when the stage returns become the artifacts of the stage run."""
    checkpoints: CheckpointKeeper
    report: EpochReport = silent
    rank: int = 0
    world_size: int = 1
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Records how the time is spent."""
    pace: Pace = field(default_factory=Pace)
    """Decides when a checkpoint is due; by default after every epoch."""
    staging: Path | None = None
    """The folder in which checkpoints are made; None: the system's folder for temporary files."""

    @contextmanager
    def checkpoint(self, epoch: int, *, keep_older: bool = False) -> Iterator[Path]:
        """Yield an empty folder. The files written into it are saved as the checkpoint of `epoch`.

        Older ones are removed unless `keep_older`. A stage asks `pace.due()` before.

        If the disk is full or the store does not answer, the checkpoint is lost with a warning; training continues.
        """
        with (
            self.telemetry.spending("checkpoint"),
            tempfile.TemporaryDirectory(prefix="mindsweep-", dir=self.staging) as folder,
        ):
            try:
                with self.pace.making():
                    yield Path(folder)
                    self.checkpoints.save(epoch, Path(folder), keep_older=keep_older)
            except Exception as error:
                if not isinstance(error, StoreError) and cause_of(error) != "DISK_FULL":
                    raise
                self.telemetry.warn(lost_checkpoint(epoch, error))


@dataclass(frozen=True)
class StageTask:
    """The argument of a stage's function."""

    config: TrialConfig
    seed: int
    inputs: Mapping[str, Artifacts]
    """Stage name to the artifacts of that stage run."""
    context: Context


@dataclass(frozen=True)
class StageResult:
    """The return value of a stage's function. Files are returned in `context.output`."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final metrics; names without the stage prefix."""
    history: tuple[Mapping[str, float], ...] = ()
    """Metrics per epoch, from epoch 1."""
    info: Mapping[str, str] = field(default_factory=dict)
    """Facts for the manifest: parameter count, best epoch, device."""


StageFunction = Callable[[StageTask], StageResult]
