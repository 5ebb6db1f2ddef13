"""The specification of a trial that the driver sends to a worker, as plain JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.graph import StageRun


@dataclass(frozen=True)
class TrialSpec:
    """A trial: the full config, the seed and the stage runs."""

    study: str
    trial: str
    """Unique in the study and valid as a store key: `t0003`, or `t0003-s1` if configs are repeated over seeds."""
    config: Mapping[str, Any]
    """The resolved `TrialConfig`, as JSON."""
    seed: int
    runs: tuple[StageRun, ...]
    """All stage runs of the trial, inputs first. Stage runs that the store already holds are only read."""
    targets: tuple[str, ...] = ()
    """Metrics (`stage.metric`) that the study optimises."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        runs = [run.to_json() for run in self.runs]
        return {**self.__dict__, "config": dict(self.config), "runs": runs, "targets": list(self.targets)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrialSpec":
        """Return the specification that `to_json` described."""
        runs = tuple(StageRun.from_json(run) for run in value["runs"])
        return cls(**{**value, "runs": runs, "targets": tuple(value["targets"])})
