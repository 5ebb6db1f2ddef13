"""Domains of swept fields: one model per kind of domain, with the field names of the YAML file."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_validator,
)

from trainables.config.base import Config

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
"""A word, a number, true or false."""
Value = Scalar | None | tuple[Scalar | None, ...]
"""One value of a field. Lists are tuples here; JSON has them as lists."""

Number = Annotated[float, Field(strict=True, ge=-1e300, le=1e300)]
Integer = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0.0, le=1e300)]
PositiveInteger = Annotated[int, Field(strict=True, ge=1, le=2**53)]

MAX_STEPS = 1_000_000
MAX_PROBES = 64
"""Largest number of values for which each value is checked; larger ranges are checked at both ends and once between."""


class Suggester(Protocol):
    """Chooses values, one field at a time: a sampler, a fixed point, a random generator."""

    def choice(self, name: str, options: tuple[Value, ...]) -> Value:
        """Return one of `options`."""

    def uniform(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        """Return a number in [low, high]; with `step`, `low + k * step` for an integer k."""

    def integer(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return an integer in [low, high]: `low + k * step` for an integer k."""


def is_same_value(a: Any, b: Any) -> bool:
    """Return whether two values are equal for a config: `1` equals `1.0`, but not `true`."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(is_same_value, a, b))
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def as_value(raw: Any) -> Value:
    """Return a value that JSON or YAML gave.

    Raises:
        ValueError: It is neither a word, a number, true, false or null, nor a list of these.
    """
    if isinstance(raw, list | tuple) and all(isinstance(part, _PLAIN) for part in raw):
        return tuple(raw)
    if not isinstance(raw, _PLAIN):
        raise ValueError(f"must be a word, a number, true, false, null, or a list of these, but got {str(raw)[:60]}")
    return raw


_PLAIN = bool | int | float | str | None
_Option = Annotated[Any, BeforeValidator(as_value)]


def sampled_value(value: Value) -> Scalar:
    """Return `value` as samplers and their databases can take it: a list or null as JSON text."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def sampled_values(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the values of a point as samplers and their databases can take them."""
    return {name: sampled_value(value) for name, value in values.items()}


class Domain(Config):
    """The values of one field, and the condition under which the field is swept."""

    when: dict[str, tuple[_Option, ...]] = Field(default_factory=dict)
    """Other swept field to the value or values that it must have; otherwise this field has its value of `base`."""

    @field_validator("when", mode="before")
    @classmethod
    def _one_value_is_a_list_of_one(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {field: allowed if isinstance(allowed, list | tuple) else (allowed,) for field, allowed in value.items()}

    @property
    def is_numeric(self) -> bool:
        """Whether the values are ordered numbers."""
        return True

    @property
    @abstractmethod
    def size(self) -> int | None:
        """The number of values; None if it is infinite."""

    @abstractmethod
    def values(self) -> tuple[Value, ...]:
        """Return all values of a domain that has a `size`."""

    @abstractmethod
    def bounds(self) -> tuple[Value, ...]:
        """Return the outermost values: if they are valid, the values between are most likely valid, too."""

    @abstractmethod
    def contains(self, value: Value) -> bool:
        """Return whether `value` is one of the values."""

    @abstractmethod
    def suggest(self, name: str, suggester: Suggester) -> Value:
        """Let `suggester` choose a value for the field `name`."""

    @abstractmethod
    def probes(self) -> tuple[Value, ...]:
        """Return the values with which the domain is checked against the config."""


class Choice(Domain):
    """`{choice: [a, null, [256, 128]]}`: one of the listed values. A value may be null or a list."""

    choice: Annotated[tuple[_Option, ...], Field(min_length=1)]

    @field_validator("choice", mode="after")
    @classmethod
    def _no_value_twice(cls, choice: tuple[Value, ...]) -> tuple[Value, ...]:
        for index, value in enumerate(choice):
            if any(is_same_value(value, other) for other in choice[:index]):
                raise ValueError(f"each value may be listed once, but {in_words(value)} is listed twice")
            if any(sampled_value(value) == other for other in choice if isinstance(other, str) and other is not value):
                raise ValueError(f"{sampled_value(value)} and the word {sampled_value(value)!r} are written alike")
        return choice

    @property
    def is_numeric(self) -> bool:
        """False: samplers treat options as unordered, even if they are numbers."""
        return False

    @property
    def size(self) -> int | None:
        """The number of options."""
        return len(self.choice)

    def values(self) -> tuple[Value, ...]:
        """Return the options, in the file's order."""
        return self.choice

    def bounds(self) -> tuple[Value, ...]:
        """Return all options, since they are unordered."""
        return self.choice

    def probes(self) -> tuple[Value, ...]:
        """Return all options."""
        return self.choice

    def contains(self, value: Value) -> bool:
        """Return whether `value` is one of the options."""
        return any(is_same_value(value, option) for option in self.choice)

    def suggest(self, name: str, suggester: Suggester) -> Value:
        """Let `suggester` choose one of the options."""
        return suggester.choice(name, self.choice)


class _Range(Domain):
    """A range of numbers, both ends included."""

    is_log: ClassVar[bool] = False
    """Whether each order of magnitude is equally likely."""
    is_whole: ClassVar[bool] = False
    """Whether the numbers are integers."""
    ends: tuple[Any, Any]
    step: Any = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.ends
        if not low < high:
            raise ValueError(f"the lower end must be below the upper, but got [{low}, {high}]")
        if self.step is not None:
            _check_step(low, high, step=self.step, is_log=self.is_log)
        return self

    @property
    def quantum(self) -> float | None:
        """The distance between neighbouring values; None for a continuous range."""
        return 1 if self.step is None and self.is_whole else self.step

    @property
    def size(self) -> int | None:
        """The number of integers or steps."""
        low, high = self.ends
        return None if self.quantum is None else round((high - low) / self.quantum) + 1

    def _at(self, index: int) -> float:
        value = self.ends[0] + index * (1 if self.quantum is None else self.quantum)
        return value if self.is_whole else float(f"{value:.12g}")  # 0.3, not 0.30000000000000004: another identity

    def _nearest_step(self, value: float) -> float:
        return value if self.quantum is None else self._at(round((value - self.ends[0]) / self.quantum))

    def values(self) -> tuple[Scalar, ...]:
        """Return every integer or step."""
        assert self.size is not None
        return tuple(self._at(index) for index in range(self.size))

    def bounds(self) -> tuple[Scalar, ...]:
        """Return both ends."""
        return self.ends

    def probes(self) -> tuple[Scalar, ...]:
        """Return all values if there are at most `MAX_PROBES`, else both ends and one value between them."""
        if self.size is not None and self.size <= MAX_PROBES:
            return self.values()
        low, high = self.ends
        return (low, high, self._nearest_step(low + 0.382 * (high - low)))

    def contains(self, value: Value) -> bool:
        """Return whether `value` is a number within the range and on a step."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.ends
        is_near = abs(self._nearest_step(value) - value) <= 1e-9 * max(abs(low), abs(high))
        return bool(low <= value <= high and is_near)

    def suggest(self, name: str, suggester: Suggester) -> Scalar:
        """Let `suggester` choose a number, moved to the nearest step."""
        low, high = self.ends
        if self.is_whole:
            return suggester.integer(name, low, high, log=self.is_log, step=int(1 if self.step is None else self.step))
        return self._nearest_step(suggester.uniform(name, low, high, log=self.is_log, step=self.step))


class Uniform(_Range):
    """`{uniform: [lower, upper], step: s}`: any number in the range or, with a step, `lower + k s`."""

    ends: tuple[Number, Number] = Field(alias="uniform")
    step: PositiveNumber | None = None


class LogUniform(_Range):
    """`{log_uniform: [lower, upper]}`: any number in the range, each order of magnitude equally likely."""

    is_log: ClassVar[bool] = True
    ends: tuple[PositiveNumber, PositiveNumber] = Field(alias="log_uniform")


class Integers(_Range):
    """`{int: [lower, upper], step: s}`: any integer in the range or, with a step, `lower + k s`."""

    is_whole: ClassVar[bool] = True
    ends: tuple[Integer, Integer] = Field(alias="int")
    step: PositiveInteger | None = None


class LogIntegers(_Range):
    """`{log_int: [lower, upper]}`: any integer in the range, each order of magnitude equally likely."""

    is_whole: ClassVar[bool] = True
    is_log: ClassVar[bool] = True
    ends: tuple[PositiveInteger, PositiveInteger] = Field(alias="log_int")


DOMAINS: Mapping[str, type[Domain]] = {
    "choice": Choice,
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "int": Integers,
    "log_int": LogIntegers,
}
DOMAIN_KINDS = tuple(DOMAINS)


def kind_of(domain: Domain) -> str:
    """Return the key of the kind of `domain` in the file."""
    return next(kind for kind, model in DOMAINS.items() if isinstance(domain, model))


def values_in_words(domain: Domain) -> str:
    """Return `int [1, 3]` or `uniform [0, 0.4], step 0.1`."""
    raw = domain.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"when"})
    kind = kind_of(domain)
    step = f", step {raw['step']:g}" if "step" in raw else ""
    values = ", ".join(map(in_words, raw[kind]))
    return f"{kind} [{values}]{step}"


def in_words(value: Any) -> str:
    """Return a value as a file has it, such as `[256, 128]`, `null` or `0.5`."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_words, value))}]"
    is_word = value is not None and not isinstance(value, bool)
    return f"{value:g}" if isinstance(value, float) else str(value) if is_word else json.dumps(value)


def _kind(value: Any) -> str | None:
    if isinstance(value, Domain):
        return kind_of(value)
    named = [key for key in DOMAIN_KINDS if isinstance(value, Mapping) and key in value]
    return named[0] if len(named) == 1 else None


AnyDomain = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("log_uniform")]
    | Annotated[Integers, Tag("int")]
    | Annotated[LogIntegers, Tag("log_int")],
    Discriminator(
        _kind,
        custom_error_type="no_domain",
        custom_error_message="must be a domain with exactly one of the keys " + ", ".join(DOMAIN_KINDS),
    ),
]


def _check_step(low: float, high: float, *, step: float, is_log: bool) -> None:
    """Refuse a step on a log scale, too many steps, and steps that do not reach the upper end."""
    if is_log:
        raise ValueError("a log domain takes no step (samplers would ignore it); list the values with `choice`")
    steps = (high - low) / step
    if not steps <= MAX_STEPS:
        raise ValueError(f"the step must divide the range into at most {MAX_STEPS} parts, but got {step}")
    if abs(steps - round(steps)) > 1e-6:
        last = float(f"{low + int(steps) * step:.12g}")
        raise ValueError(f"steps of {step} from {low} must end at {high}, but the last ends at {last}; use {last}")
