"""What a search-space file says, as it is while it is being checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform.errors import Problem
from platform.study.domains import AnyDomain
from platform.study.yaml_source import Source


@dataclass(frozen=True)
class Draft:
    """A file whose keys have the right types; whether they make sense together is not known yet."""

    source: Source
    target: tuple[str, ...]
    sampler: str
    scheduler: Mapping[str, Mapping[str, Any]]
    """One name and its options."""
    trials: int | None
    domains: Mapping[str, AnyDomain]
    constraints: tuple[str, ...]
    points: tuple[Mapping[str, Any], ...]
    base: Mapping[str, Any]
    """Dotted overrides."""

    def problem(self, *path: str | int, what: str) -> Problem:
        """Return the problem `what` with what stands at `path` in the file."""
        return self.source.problem(path, what)
