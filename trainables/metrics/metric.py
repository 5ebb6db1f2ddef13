"""What a metric is: title, unit, goal, range, chance level, and the config fields that change its scale."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

Goal: TypeAlias = Literal["min", "max"]
_ARROWS: Mapping[Goal, str] = {"max": "↑", "min": "↓"}


@dataclass(frozen=True)
class Metric:
    """A number that a stage reports, named `stage.metric`."""

    name: str
    _: KW_ONLY
    title: str
    """Title in tables and figures, without unit."""
    unit: str = ""
    goal: Goal
    low: float
    high: float
    chance: float | None = None
    """Value for a decoder without information; None if it depends on the data."""
    chance_rule: str = ""
    """Formula of the chance level, if it depends on the data and can be computed."""
    chance_controls: tuple[str, ...] = ()
    """Controls that show the chance level if there is no formula. The stage reports them as `metric_control`."""
    of_motion: bool = False
    """Whether it measures motion, so that a still video knows nothing of it."""
    scale_fields: tuple[str, ...] = ()
    """Config fields or sections that change the scale. Values from different settings cannot be compared."""
    only_with: tuple[str, str] | None = None
    """A config field and its value, without which the stage does not report it."""
    needs_known_answer: bool = False
    """Whether only data sets with a known answer yield it: simulated brains and objects."""
    version: int = 1
    """Increased when the same input would give another value, together with the version of the reporting stage."""
    source: str
    note: str = ""
    """A sentence that readers of the values need to know."""

    @property
    def stage(self) -> str:
        """The stage that reports it."""
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The name without the stage."""
        return self.name.partition(".")[2]

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def arrow(self) -> str:
        """An arrow that points to better values."""
        return _ARROWS[self.goal]

    @property
    def chance_text(self) -> str:
        """The chance level as a number or a formula; empty if only controls can show it."""
        return f"{self.chance:.3g}" if self.chance is not None else self.chance_rule

    def scale_depends_on(self, field: str) -> bool:
        """Return whether values of this metric cannot be compared across values of the dotted `field`."""
        return any(field == scale or field.startswith(scale + ".") for scale in self.scale_fields)


def notes(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the notes of `metrics`, without duplicates."""
    return tuple(dict.fromkeys(metric.note for metric in metrics if metric.note))


def title_in_words(name: str) -> str:
    """Return the title `stage: metric` of a full name, in words."""
    return name.replace(".", ": ").replace("_", " ")


def split_prefix(split: str) -> str:
    """Return what the names of metrics of `split` begin with: `test_`, and nothing for validation clips."""
    return "" if split == "validation" else f"{split}_"


def error_metric(
    name: str,
    *,
    controls: tuple[str, ...] = (),
    of_motion: bool = False,
    scale_fields: tuple[str, ...],
    only_with: tuple[str, str] | None = None,
    source: str,
) -> Metric:
    """Return a metric that is 0 at best and has no upper bound, such as a loss."""
    return Metric(
        name,
        title=title_in_words(name),
        goal="min",
        low=0.0,
        high=math.inf,
        chance_controls=controls,
        of_motion=of_motion,
        scale_fields=scale_fields,
        only_with=only_with,
        source=source,
    )


def retrieval_metric(name: str, k: int, *, scale_fields: tuple[str, ...], source: str) -> Metric:
    """Return the metric of how often the right clip is among the `k` nearest of a gallery."""
    return Metric(
        name,
        title=title_in_words(name),
        goal="max",
        low=0.0,
        high=1.0,
        chance_rule=f"{k} / clips in the gallery",
        scale_fields=scale_fields,
        source=source,
    )
