"""The sweep that chose the conditions of an ablation: what it measured there, before these were trained anew."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StrictFloat, StrictInt, StrictStr

from platform.errors import Problem, nearest
from platform.study.design import Design
from platform.study.yaml_source import Source
from trainables.config.base import Config, Count
from trainables.metrics.registry import METRICS, metric_named

_KEY = "search"


class SearchOrigin(Config):
    """A sweep, and the values that it measured at the conditions of an ablation. The report compares both."""

    study: StrictStr
    """The id of the sweep."""
    metric: StrictStr
    """The target by which the sweep chose its points."""
    points: Count
    """Number of points from which the sweep chose: those that completed."""
    repeats: Count = 1
    """Number of trainings of which each value of the sweep is the mean."""
    values: Annotated[dict[str, StrictFloat | StrictInt], Field(min_length=1)]
    """Condition, or baseline, to the value that the sweep measured there."""


def search_problems(source: Source, origin: SearchOrigin | None, design: Design) -> Iterator[Problem]:
    """Yield what is wrong with the key `search` of an ablation's file."""
    if origin is None:
        return
    if metric_named(origin.metric) is None:
        message = f"there is no metric {origin.metric!r}; {nearest(origin.metric, METRICS)}"
        yield source.problem((_KEY, "metric"), message)
    for name in origin.values:
        if name not in design.names:
            message = f"there is no condition {name!r}; {nearest(name, design.names)}"
            yield source.problem((_KEY, "values", name), message)
