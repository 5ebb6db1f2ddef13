"""What ends trials early, and what ends a sweep: the options of a sweep's `scheduler` and `stop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Count


class FifoOptions(Config):
    """Every trial runs to its end."""


class AshaOptions(Config):
    """Asynchronous successive halving: at each rung only the best trials continue."""

    grace_epochs: Count = 1
    """Epochs of the first target's stage before a trial may be stopped; the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """r: at each rung the best 1/r of the trials continue, for r times the epochs."""


class MedianOptions(Config):
    """A trial stops when its running mean is worse than the median of the others at the same epoch."""

    grace_epochs: Count = 1
    """Epochs of the first target's stage before a trial may be stopped."""
    min_trials: Count = 3
    """Number of trials that must have reached an epoch before a trial is stopped there."""


SchedulerOptions = FifoOptions | AshaOptions | MedianOptions

SCHEDULERS: Mapping[str, type[SchedulerOptions]] = {"fifo": FifoOptions, "asha": AshaOptions, "median": MedianOptions}

REFUSED_SCHEDULERS: Mapping[str, str] = {
    "pbt": (
        "population-based training changes a config while its network trains, so the result does not belong to a "
        "single config; in Mindsweep a stage run is a function of its config and is cached and compared by it"
    )
}


class StopOptions(Config):
    """When a sweep ends before all its points are tried. The first rule that holds ends it."""

    hours: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    """Hours of a call after which no further point is proposed."""
    target: float | None = None
    """Value of the target that ends the sweep when a point reaches it."""
    no_better_in: Count | None = None
    """Number of completed points in a row, none of them better than the best before, after which the sweep ends."""

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.hours is None and self.target is None and self.no_better_in is None:
            raise ValueError("names no rule; set hours, target or no_better_in")
        return self


@dataclass(frozen=True)
class SchedulerConfig:
    """The scheduler that stops trials early, and its options."""

    name: str
    options: SchedulerOptions

    def to_json(self) -> dict[str, Any]:
        """Return the name and all options as one JSON object."""
        return {"name": self.name, **self.options.model_dump(mode="json")}
