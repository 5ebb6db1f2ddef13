"""Base class and field types of all configs."""

import os
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from trainables.identity import BY_CONTENT


def workers_range(workers: int | str) -> tuple[int, int]:
    """Return the smallest and the largest number of processes that `workers` allows: a number, or a range as `1..4`.

    Raises:
        ValueError: `workers` is neither, or allows no process.
    """
    least, dots, most = str(workers).partition("..")
    if not (least.isdecimal() and (most.isdecimal() or not dots)):
        raise ValueError(f"workers must be a number, or a range such as 1..4, but got {workers!r}")
    low, high = int(least), int(most if dots else least)
    if not 1 <= low <= high:
        raise ValueError(f"workers must be at least 1, a range must start with its smaller number, but got {workers!r}")
    return low, high


def most_workers(workers: int | str) -> int:
    """Return the largest number of processes that `workers`, a number or a range, allows."""
    return workers_range(workers)[1]


def _checked_workers(workers: int | str) -> int | str:
    workers_range(workers)
    return workers


def absolute_source(source: str) -> str:
    """Return where a folder lies from here, since workers run in other folders; a hub name as it is."""
    folder = os.path.expanduser(source)
    is_path = source.startswith((".", "~")) or os.path.isdir(folder)
    return os.path.abspath(folder) if source != "phantom" and is_path else source


def absolute_folder(folder: str | None) -> str | None:
    """Return where a folder lies from here, whether or not it exists."""
    return None if folder is None else os.path.abspath(os.path.expanduser(folder))


class Config(BaseModel):
    """A frozen config. Unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        """Refuse what no path and no name can hold, and what the operating system answers with a traceback."""
        if isinstance(value, str | PurePath) and "\0" in str(value):
            raise ValueError(f"must not contain a NUL character, but got {str(value)!r}")
        return value


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Workers = Annotated[
    int | str, AfterValidator(_checked_workers), Field(json_schema_extra={"values": "integer >= 1, or a range as 1..4"})
]
"""Number of processes: a number, or a range such as `1..4`."""
CHECKPOINT_SHARE = 0.05
"""Share of a stage's time that its checkpoints take at most, unless its config sets another."""
UseRayTrain = Literal["auto", "always"]
"""Whether Ray Train runs a stage only with several workers, or always."""
Weights = Annotated[str, AfterValidator(absolute_source), BY_CONTENT]
"""`phantom` (included), a folder, or a hub name."""
DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]
