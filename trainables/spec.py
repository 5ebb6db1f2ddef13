"""What the driver hands to a worker: a trial, or one shared stage run, as plain JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.graph import StageRun


@dataclass(frozen=True)
class TrialSpec:
    """A full config with its seed and the stage runs it consists of."""

    study: str
    trial: str
    """Unique in the study and valid as a store key: `t0003`, or `t0003-s1` where configs are repeated over seeds."""
    config: Mapping[str, Any]
    """The resolved `TrialConfig`, as JSON."""
    seed: int
    runs: tuple[StageRun, ...]
    """All stage runs of the trial, inputs first; those whose identity the store holds are only read."""
    targets: tuple[str, ...] = ()
    """Metrics (`stage.metric`) that the study optimises."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        runs = [run.to_json() for run in self.runs]
        return {**self.__dict__, "config": dict(self.config), "runs": runs, "targets": list(self.targets)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrialSpec":
        """Read what `to_json` wrote."""
        runs = tuple(StageRun.from_json(run) for run in value["runs"])
        return cls(**{**value, "runs": runs, "targets": tuple(value["targets"])})
