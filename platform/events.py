"""What happens to trials, as events: the record from which every view (MLflow, Optuna, tables) is made.

Events are written to the store before any view sees them, one object each, numbered from 0 within their trial.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Kind = Literal["proposed", "started", "epochs", "finished"]
Outcome = Literal["COMPLETED", "PRUNED", "FAILED"]


@dataclass(frozen=True)
class TrialEvent:
    """One thing that happened to one trial. `body` holds plain JSON values, by kind.

    proposed: point, repeat, seed, values (swept field to value), config (resolved), runs (StageRun JSON, inputs first),
              labels (of an ablation: condition, subject, seed, block)
    started:  attempt (from 1), after ({cause, error} of the attempt before, if that is why there is another)
    epochs:   rows, a list of {stage, epoch, metrics, time}; samples, a list of {time, metrics} of what the worker used
    finished: outcome, metrics ({stage.metric: value}), step (last epoch of the target's stage), error (traceback
              or null), cause (of a failure, `trainables.failure.Cause`), seconds, runs ({stage: {identity, reused,
              seconds}}), time (seconds by what they were spent on: queue, data, checkpoint, report, compute), samples,
              warnings, attempts, retries ({cause: count})
    """

    trial: str
    sequence: int
    kind: Kind
    time: float
    """Seconds since 1970; views use it as the time stamp, so that mirroring twice writes the same."""
    body: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrialEvent":
        """Read what `to_json` wrote."""
        return cls(**value)


class View(Protocol):
    """Anything that mirrors events. Seeing an event twice must change nothing."""

    def see(self, event: TrialEvent) -> None:
        """Take in one event, in order within its trial."""

    def close(self) -> None:
        """Write out what is pending. Called once, also after an error or Ctrl-C."""


SharedState = Literal["waiting", "running", "done", "cached", "failed"]


@runtime_checkable
class SharedView(Protocol):
    """A view that also shows how far the shared stage runs are; these are no trials, so there are no events of them."""

    def shared(self, stage: str, identity: str, state: SharedState) -> None:
        """Show the state of one of them."""
