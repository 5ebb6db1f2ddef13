"""Metrics for a report: title, unit, and direction of better values."""

from dataclasses import dataclass
from typing import Literal

from platform.errors import UserError
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS, is_held_out, metric_named

Sense = Literal["better", "worse"]


@dataclass(frozen=True)
class Measure:
    """A metric with its texts for a report."""

    metric: Metric

    @property
    def name(self) -> str:
        """The name in records, such as `evaluate.test_ssim`."""
        return self.metric.name

    @property
    def title(self) -> str:
        """The title without unit; with "(validation)" if the same metric exists for test clips."""
        on_validation = self.name in METRICS and is_held_out(self.name)
        return f"{self.metric.title} (validation)" if on_validation else self.metric.title

    @property
    def unit(self) -> str:
        """The unit, such as `px` or `dB`; may be empty."""
        return self.metric.unit

    @property
    def chance(self) -> str:
        """The chance level as text; empty if a control shows it."""
        return self.metric.chance_text

    @property
    def heading(self) -> str:
        """Title, unit, and an arrow that shows the direction of better values."""
        return f"{self.title}{f' ({self.unit})' if self.unit else ''} {self.metric.arrow}"

    def sense(self, difference: float) -> Sense:
        """Return whether a difference other than 0 is better or worse."""
        return "better" if (difference > 0) == (self.metric.goal == "max") else "worse"


def measure_named(name: str) -> Measure:
    """Return the metric `name` of the records.

    Raises:
        UserError: This version of Mindsweep has no such metric.
    """
    known_measure = find_measure(name)
    if known_measure is None:
        raise UserError(
            f"the study was registered with the metric {name}, which this version of Mindsweep does not have"
        )
    return known_measure


def find_measure(name: str) -> Measure | None:
    """Return the metric `name` of the records, or None if this version does not have it."""
    metric = metric_named(name)
    return Measure(metric) if metric is not None else None
