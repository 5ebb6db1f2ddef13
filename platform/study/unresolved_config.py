"""A search-space file while it is being checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform.errors import Problem
from platform.study.domains import AnyDomain
from platform.study.outcome_constraints import Bound
from platform.study.yaml_source import Source


@dataclass(frozen=True)
class Draft:
    """A file whose keys have the right types, but are not yet checked together."""

    source: Source
    target: tuple[str, ...]
    sampler: str
    scheduler: Mapping[str, Mapping[str, Any]]
    """One name and its options."""
    trials: int | None
    repeats: int
    domains: Mapping[str, AnyDomain]
    constraints: tuple[str, ...]
    points: tuple[Mapping[str, Any], ...]
    base: Mapping[str, Any]
    """Dotted overrides."""
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    """Metric to the bound within which it must stay."""

    def problem(self, *path: str | int, message: str) -> Problem:
        """Return the problem `message` of the value at `path` in the file."""
        return self.source.problem(path, message)
