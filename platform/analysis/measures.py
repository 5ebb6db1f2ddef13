"""Metrics as a report speaks of them: title, unit, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from platform.errors import UserError
from trainables.metrics.registry import METRICS, Metric, is_held_out, metric_named

Sense = Literal["better", "worse"]


@dataclass(frozen=True)
class Measure:
    """One metric, ready to be written of."""

    metric: Metric

    @property
    def name(self) -> str:
        """As in records: `evaluate.test_ssim`."""
        return self.metric.name

    @property
    def title(self) -> str:
        """Without the unit; says so where another title is the same on test clips."""
        on_validation = self.name in METRICS and is_held_out(self.name)
        return f"{self.metric.title} (validation)" if on_validation else self.metric.title

    @property
    def unit(self) -> str:
        """`px`, `dB`, or empty."""
        return self.metric.unit

    @property
    def chance(self) -> str:
        """The value of a decoder that knows nothing, in words where it is no number; empty where a control shows it."""
        return self.metric.chance_text

    @property
    def heading(self) -> str:
        """Title, unit, and an arrow towards better values."""
        return f"{self.title}{f' ({self.unit})' if self.unit else ''} {self.metric.arrow}"

    def sense(self, difference: float) -> Sense:
        """Tell what a difference other than 0 means."""
        return "better" if (difference > 0) == (self.metric.goal == "max") else "worse"


def measure(name: str) -> Measure:
    """Return the metric `name` of the records.

    Raises:
        UserError: This version of the project does not know it.
    """
    found = find_measure(name)
    if found is None:
        raise UserError(f"this version knows no metric {name}, which the study was registered with")
    return found


def find_measure(name: str) -> Measure | None:
    """Return the metric `name` of the records, or None if this version does not know it."""
    metric = metric_named(name)
    return Measure(metric) if metric is not None else None
