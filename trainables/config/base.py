"""The base of every config."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def workers_range(workers: int | str) -> tuple[int, int]:
    """Return the least and the most processes that `workers` asks for: `3`, or `1..4`.

    Raises:
        ValueError: It is neither, or asks for none.
    """
    least, dots, most = str(workers).partition("..")
    if not (least.isdecimal() and (most.isdecimal() or not dots)):
        raise ValueError(f"workers is a number, or a range as 1..4, but got {workers!r}")
    low, high = int(least), int(most if dots else least)
    if not 1 <= low <= high:
        raise ValueError(f"workers is at least 1, and a range begins with its smaller number, but got {workers!r}")
    return low, high


def most_workers(workers: int | str) -> int:
    """Return the most processes that `workers`, a number or a range, asks for."""
    return workers_range(workers)[1]


def _checked_workers(workers: int | str) -> int | str:
    workers_range(workers)
    return workers


class Config(BaseModel):
    """A frozen config; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Workers = Annotated[
    int | str, AfterValidator(_checked_workers), Field(json_schema_extra={"values": "integer >= 1, or a range as 1..4"})
]
"""How many processes: a number, or a range as `1..4`."""
DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]
