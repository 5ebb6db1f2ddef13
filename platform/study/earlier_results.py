"""The results of an earlier sweep that a sampler is given before it proposes its first point (`start_from`)."""

from typing import Any

from pydantic import Field, field_validator

from platform.study.domains import as_value
from trainables.config.base import Config


class EarlierPoint(Config):
    """A completed point of the earlier sweep, in the fields of the new one."""

    point: int
    """Its number in the earlier sweep."""
    values: dict[str, Any]
    """Swept field to value."""
    targets: tuple[float, ...]
    """The mean of each target over its repeats."""
    excesses: dict[str, float] = Field(default_factory=dict)
    """Metric of each outcome constraint to the amount by which the point exceeds the bound; at most 0 within it."""

    @field_validator("values", mode="after")
    @classmethod
    def _lists_are_tuples(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: as_value(value) for name, value in values.items()}


class EarlierResults(Config):
    """An earlier sweep, and what is taken from it. Later results of that sweep are not taken: a call records these."""

    study: str
    """Name or id as in the file; the id once it is looked up in the store."""
    points: tuple[EarlierPoint, ...] | None = None
    """The points that the sampler is given; None until they are read."""
    left_out: int = 0
    """Number of its completed points that the new search space does not contain."""

    @property
    def text(self) -> str:
        """What is taken, in words."""
        if self.points is None:
            return self.study
        left_out = f", {self.left_out} outside of this space left out" if self.left_out else ""
        return f"{self.study} ({len(self.points)} points{left_out})"


def points_of(earlier: EarlierResults) -> tuple[EarlierPoint, ...]:
    """Return the points that the sampler is given. Raises `ValueError` if they were not read from the store."""
    if earlier.points is None:
        raise ValueError(f"the results of {earlier.study} are not read yet: see platform.record.warm_start")
    return earlier.points
