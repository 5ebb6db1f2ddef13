"""Typed events of trials: the record from which all views (MLflow, Optuna, tables) follow.

Events are written to the store before a view receives them: one object per event, numbered from 0 within the trial.
Each kind has a frozen class. `platform.record.trial_record` reduces the events of a trial to its record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field

from storage.errors import IntegrityError
from storage.typed import check_fields, mapping_to, mapping_with, sequence_of

Kind = Literal["proposed", "started", "epochs", "finished"]
Outcome = Literal["COMPLETED", "PRUNED", "FAILED"]


@dataclass(frozen=True, kw_only=True)
class TrialEvent:
    """One event of one trial."""

    kind: ClassVar[Kind]
    trial: str
    sequence: int
    time: float
    """Seconds since 1970. Views use it as time stamp, so mirroring an event twice writes the same entries."""

    @property
    def body(self) -> dict[str, Any]:
        """The fields of this kind of event as plain JSON values, without unknown values."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return {
            "trial": self.trial,
            "sequence": self.sequence,
            "kind": self.kind,
            "time": self.time,
            "body": self.body,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "TrialEvent":
        """Read what `to_json` wrote, of this version or an earlier one.

        Raises:
            storage.errors.IntegrityError: The kind is unknown, or the object is not an event, or a part of it has the
                wrong type.
        """
        try:
            head = {name: value[name] for name in ("trial", "sequence", "time")}
            kind, body = _KINDS[value["kind"]], value["body"]
            if len(value) > len(head) + 2:
                raise IntegrityError(f"it has other keys than {', '.join(_PARTS)}")
            return kind.read(head, body)
        except (KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"this is not an event of a trial ({type(error).__name__}: {error})") from error
        except IntegrityError as error:
            raise IntegrityError(f"this is not an event of a trial: {error}") from error

    @classmethod
    def read(cls, head: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """Return the event with `head` (trial, sequence, time) and `body`. Raises `IntegrityError` for a wrong type."""
        raise NotImplementedError

    @classmethod
    def _of(cls, values: Mapping[str, Any], **types: Any) -> Self:
        """Return the event with the fields `values`, whose types are checked; `types` as in `check_fields`."""
        check_fields(cls, values, time=_TIME, **types)
        return cls(**values)


_RUN = mapping_with(stage=str, identity=str)
_TIME: Any = Annotated[float, Field(ge=0.0, le=1e11)]
"""Seconds since 1970 that a time stamp can have."""
_ROW = mapping_with(stage=str, epoch=int, metrics=Mapping[str, float], time=_TIME)
_SAMPLE = mapping_with(time=_TIME, metrics=Mapping[str, float])
_ENDED_RUN = mapping_with(identity=str, reused=bool, seconds=float)
"""Keys that events of every version have; later ones have more."""


@dataclass(frozen=True, kw_only=True)
class Proposed(TrialEvent):
    """A trial was proposed: its values, its config and its stage runs."""

    kind = "proposed"
    point: int
    repeat: int
    seed: int
    values: Mapping[str, Any]
    """Swept field to value."""
    config: Mapping[str, Any]
    """The resolved config."""
    runs: Sequence[Mapping[str, Any]]
    """`StageRun` JSON, inputs first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For an ablation: condition, subject, seed, block."""

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """Stage to the identity of its run."""
        return {run["stage"]: run["identity"] for run in self.runs}

    @property
    def body(self) -> dict[str, Any]:
        """What it adds, as plain JSON values."""
        body = {
            "point": self.point,
            "repeat": self.repeat,
            "seed": self.seed,
            "values": dict(self.values),
            "config": dict(self.config),
            "runs": list(self.runs),
        }
        return body | ({"labels": dict(self.labels)} if self.labels else {})

    @classmethod
    def read(cls, head: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """Return the event with `head` and `body`."""
        fields = {name: body[name] for name in ("point", "repeat", "seed", "values", "config", "runs")}
        return cls._of({**head, **fields, "labels": body.get("labels", {})}, runs=sequence_of(_RUN))


@dataclass(frozen=True)
class Retry:
    """Why a trial was retried."""

    cause: str
    """`trainables.failure.Cause` of the previous attempt."""
    error: str | None = None
    micro_batch: Mapping[str, int] = field(default_factory=dict)
    """Stage to its new micro-batch in rows, after out of memory."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        halves = {"micro_batch": dict(self.micro_batch)} if self.micro_batch else {}
        return {"cause": self.cause, "error": self.error, **halves}


def _retry(value: Mapping[str, Any]) -> Retry:
    check_fields(Retry, value)
    return Retry(**value)


@dataclass(frozen=True, kw_only=True)
class Started(TrialEvent):
    """A worker started an attempt at the trial."""

    kind = "started"
    attempt: int
    """From 1."""
    after: Retry | None = None

    @property
    def body(self) -> dict[str, Any]:
        """What it adds, as plain JSON values."""
        return {"attempt": self.attempt, **({} if self.after is None else {"after": self.after.to_json()})}

    @classmethod
    def read(cls, head: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """Return the event with `head` and `body`."""
        after = {"after": _retry(body["after"])} if "after" in body else {}
        return cls._of({**head, **after, "attempt": body["attempt"]})


@dataclass(frozen=True, kw_only=True)
class Epochs(TrialEvent):
    """Metrics of epochs, and resource samples of the worker."""

    kind = "epochs"
    rows: Sequence[Mapping[str, Any]]
    """{stage, epoch, metrics, time} each."""
    samples: Sequence[Mapping[str, Any]] = ()
    """{time, metrics} each, named as MLflow names system metrics."""

    @property
    def body(self) -> dict[str, Any]:
        """What it adds, as plain JSON values."""
        return {"rows": list(self.rows), **({"samples": list(self.samples)} if self.samples else {})}

    @classmethod
    def read(cls, head: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """Return the event with `head` and `body`."""
        values = {**head, "rows": body["rows"], "samples": body.get("samples", [])}
        return cls._of(values, rows=sequence_of(_ROW), samples=sequence_of(_SAMPLE))


@dataclass(frozen=True, kw_only=True)
class Finished(TrialEvent):
    """A trial ended. It is not started again, except a failed one that the user asks for (`--retry-failed`)."""

    kind = "finished"
    outcome: Outcome
    metrics: Mapping[str, float]
    """`stage.metric` to value."""
    error: str | None
    """Traceback, or the metric without a finite value."""
    seconds: float
    runs: Mapping[str, Mapping[str, Any]]
    """Stage to {identity, reused, seconds}, and `made_by` if it was read and other code had made it."""
    step: int | None = None
    """Last epoch of the target's stage."""
    cause: str | None = None
    """`trainables.failure.Cause` of a failure; None in old records."""
    stage: str | None = None
    """The stage that failed."""
    spent: Mapping[str, float] = field(default_factory=dict)
    """Activity to seconds: queue, data, checkpoint, report, compute."""
    warnings: Sequence[str] = ()
    workers: int | None = None
    """Number of workers of the last attempt, if it was variable."""
    attempts: int | None = None
    retries: Mapping[str, int] = field(default_factory=dict)
    """Cause of failure to the number of retries because of it."""

    @property
    def reason(self) -> str:
        """The last line of the error; empty without one."""
        return "" if self.error is None else self.error.strip().rpartition("\n")[2]

    @property
    def body(self) -> dict[str, Any]:
        """What it adds, as plain JSON values."""
        body: dict[str, Any] = {"outcome": self.outcome, "metrics": dict(self.metrics), "runs": dict(self.runs)}
        body |= {"error": self.error, "seconds": self.seconds, "step": self.step}
        single = {"cause": self.cause, "stage": self.stage, "workers": self.workers, "attempts": self.attempts}
        several = {"time": dict(self.spent), "warnings": list(self.warnings), "retries": dict(self.retries)}
        return body | {name: value for name, value in (single | several).items() if value not in (None, {}, [])}

    @classmethod
    def read(cls, head: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """Return the event with `head` and `body`."""
        needed = {name: body[name] for name in ("outcome", "metrics", "error", "seconds", "runs")}
        optional = ("step", "cause", "stage", "warnings", "workers", "attempts", "retries")
        values = {name: body[name] for name in optional if name in body}
        return cls._of({**head, **needed, **values, "spent": body.get("time", {})}, runs=mapping_to(_ENDED_RUN))


_KINDS: Mapping[str, type[TrialEvent]] = {kind.kind: kind for kind in (Proposed, Started, Epochs, Finished)}


_PARTS = ("trial", "sequence", "kind", "time", "body")


class View(Protocol):
    """Anything that mirrors events. An event that it receives twice must have no further effect."""

    def see(self, event: TrialEvent) -> None:
        """Receive one event. The events of a trial arrive in order."""

    def close(self) -> None:
        """Write pending entries. Called once, also after an error or Ctrl-C."""


SharedState = Literal["waiting", "running", "done", "cached", "failed"]


@runtime_checkable
class SharedView(Protocol):
    """A view that also shows the state of shared stage runs. They belong to no trial, so they have no events."""

    def shared(self, stage: str, identity: str, state: SharedState) -> None:
        """Show the state of a shared stage run."""

    def remark(self, text: str) -> None:
        """Show what is to be known about a stored stage run. The same text is shown once."""
