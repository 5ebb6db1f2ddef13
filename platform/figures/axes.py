"""Axes of the study's figures: where a swept value or a target lies, whatever its type."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["linear", "log", "category"]
_FEW = 6
"""Numbers with at most so many different values are drawn as categories, evenly spaced."""
_WIDE = 50.0
"""Positive numbers whose largest is so many times the smallest are drawn on a log scale."""


@dataclass(frozen=True)
class Axis:
    """One field or metric, with the scale on which it is drawn."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    """Of a category axis, in order; value i lies at position i."""
    low: float = 0.0
    high: float = 1.0
    """The range of the values of a linear or log axis."""

    @property
    def varies(self) -> bool:
        """Whether there is more than one value."""
        return len(self.labels) > 1 if self.kind == "category" else self.low < self.high

    def position(self, values: Mapping[str, Any]) -> float | None:
        """Return where `values` lies on the axis: the number itself, or the index of its category; None if absent."""
        if self.name not in values:
            return None
        value = values[self.name]
        return float(self.labels.index(label(value))) if self.kind == "category" else float(value)

    def fraction(self, values: Mapping[str, Any]) -> float | None:
        """Return `position` as a part of the axis' length, from 0 to 1, logarithmic where the axis is."""
        position = self.position(values)
        if position is None:
            return None
        if self.kind == "category":
            return (position + 0.5) / len(self.labels)
        low, high, place = (math.log(x) if self.kind == "log" else x for x in (self.low, self.high, position))
        return 0.5 if high == low else (place - low) / (high - low)


def axis(name: str, rows: Iterable[Mapping[str, Any]], *, kind: Kind | None = None) -> Axis:
    """Return the axis for field `name` over `rows`; without `kind`, its scale is judged from the values."""
    values = [row[name] for row in rows if name in row]
    numbers = [float(value) for value in values if is_number(value)]
    if len(numbers) < len(values) or kind == "category" or (kind is None and len(set(numbers)) <= _FEW):
        return Axis(name, "category", _labels(values))
    if kind == "log" and min(numbers) <= 0:
        kind = "linear"
    return Axis(name, _judged(numbers) if kind is None else kind, (), min(numbers), max(numbers))


def label(value: Any) -> str:
    """Return `value` as it stands beside an axis or in a table cell."""
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def is_number(value: Any) -> bool:
    """Tell whether `value` is a number, which a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _judged(numbers: Sequence[float]) -> Kind:
    return "log" if min(numbers) > 0 and max(numbers) / min(numbers) >= _WIDE else "linear"


def _labels(values: Iterable[Any]) -> tuple[str, ...]:
    distinct = {label(value): value for value in values}
    return tuple(sorted(distinct, key=lambda text: _order(distinct[text])))


def _order(value: Any) -> tuple[bool, float, str]:
    return (False, float(value), "") if is_number(value) else (True, 0.0, label(value))
