"""Formats numbers as text, with as many digits as their interval justifies."""

import math
from datetime import UTC, datetime
from typing import Any

MINUS = "−"
DASH = "–"


def decimals(low: float, high: float, *, of: float = 0.0) -> int:
    """Return the decimals for two digits of the interval's half width, or for three digits of `of` without interval."""
    half = (high - low) / 2
    if math.isfinite(half) and half > 0:
        return min(6, max(0, 1 - math.floor(math.log10(half))))
    if not math.isfinite(of) or of == 0:
        return 3
    return min(6, max(0, 2 - math.floor(math.log10(abs(of)))))


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """Return `value` with a typographic minus sign; a dash if it is not finite."""
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def finite_or_none(value: Any) -> Any:
    """Return `value`, but None for NaN and infinity, which JSON and tables do not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bracket(low: float, high: float, digits: int) -> str:
    """Return `[low, high]`, or an empty text if there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def difference_text(difference: float, low: float, high: float, *, unit: str = "") -> str:
    """Return a difference with sign, unit and interval, such as `−0.07 px [−0.12, −0.02]`."""
    digits = decimals(low, high, of=difference)
    parts = (number(difference, digits, signed=True), unit, bracket(low, high, digits))
    return " ".join(part for part in parts if part)


def p_text(p: float | None) -> str:
    """Return `= 0.012` or `< 0.0001`; `= –` if no test was possible."""
    if p is None or not math.isfinite(p):
        return f"= {DASH}"
    return "< 0.0001" if p < 0.0001 else f"= {p:.2g}"


def counted(count: int, noun: str) -> str:
    """Return `1 seed`, `2 seeds`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: list[str]) -> str:
    """Return `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"


def moment(seconds: float) -> str:
    """Return a time stamp (seconds since 1970) as UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
