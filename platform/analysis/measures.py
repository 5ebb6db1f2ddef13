"""Metrics as a report speaks of them: title, unit, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from platform.errors import UserError
from platform.study.ablation_checks import is_held_out, metric_named
from platform.study.design import EVALUATE, split_of
from trainables.metrics.registry import METRICS, Metric
from trainables.metrics.video import OBJECT_METRICS, VIDEO_METRICS, VideoMetric

_VIDEO: Mapping[str, VideoMetric] = {**VIDEO_METRICS, **OBJECT_METRICS}
_SHUFFLED = "shuffle_p_"
_ARROWS = {"max": "↑", "min": "↓"}
Sense = Literal["better", "worse"]


@dataclass(frozen=True)
class Measure:
    """One metric, ready to be written of."""

    metric: Metric
    title: str
    """Without the unit."""
    unit: str
    """`px`, `dB`, or empty."""
    chance: str
    """The value of a decoder that knows nothing, in words where it is no number."""

    @property
    def name(self) -> str:
        """As in records: `evaluate.test_ssim`."""
        return self.metric.name

    @property
    def heading(self) -> str:
        """Title, unit, and an arrow towards better values."""
        return f"{self.title}{f' ({self.unit})' if self.unit else ''} {_ARROWS[self.metric.goal]}"

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
    split, short = split_of(name)
    video = _VIDEO.get(short) if name.startswith(f"{EVALUATE}.") else None
    if video is not None:
        title, _, rest = video.title.partition(" (")
        unit, _, more = rest.partition(")")
        chance = f"{video.chance:.3g}" if video.chance is not None else ""
        plain = Metric(name, video.goal, video.low, video.high, chance, (), video.source)
        ending = more + (" (validation)" if split == "validation" else "")
        return Measure(metric if metric is not None else plain, title + ending, unit, chance)
    if metric is None:
        return None
    stage, _, rest = name.partition(".")
    words = rest.removeprefix("test_")
    title = f"{stage}: {words.replace('_', ' ')}"
    if words.startswith(_SHUFFLED):
        title = f"P of shuffled order by {_VIDEO[words.removeprefix(_SHUFFLED)].title.partition(' (')[0]}"
    if name in METRICS and is_held_out(name):
        title += " (validation)"
    # Where the registry points to a control, the report has it as a row of its own.
    chance = "" if metric.chance == "none" or metric.chance.startswith("see ") else metric.chance
    return Measure(metric, title, "", chance)
