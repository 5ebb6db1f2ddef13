"""Suggestions for a name that does not exist: the three most similar names, and a list of all if they are few."""

import difflib
from collections.abc import Iterable

FEW = 8
"""Largest number of names that a message lists in addition to the nearest ones."""
_MOST = 40
"""Largest number of names that a message lists."""


def similar(name: str, candidates: Iterable[str]) -> list[str]:
    """Return up to three of the `candidates`, the nearest to `name` first; else those that end in the same part."""
    names = sorted(set(candidates))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    leaf = name.rpartition(".")[2]
    return near if near else [other for other in names if other.rpartition(".")[2] == leaf][:3]


def question(name: str, candidates: Iterable[str]) -> str:
    """Return "did you mean ...?" with the nearest of the `candidates`; empty if none is near."""
    near = similar(name, candidates)
    return f"did you mean {' or '.join(near)}?" if near else ""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return `question`, and the list of all if they are few or none is near.

    Example:
        >>> nearest("cgm", ["cmg", "per_frame_mlp"])
        'did you mean cmg? there are: cmg, per_frame_mlp'
    """
    names = sorted(set(candidates))
    asked = question(name, names)
    listed = f"there are: {listing(names)}" if len(names) <= FEW or asked == "" else ""
    return " ".join(part for part in (asked, listed) if part)


def listing(names: list[str]) -> str:
    """Return the names, or the first ones and how many more there are."""
    if not names:
        return "none"
    shown = ", ".join(names[:_MOST])
    return shown if len(names) <= _MOST else f"{shown} and {len(names) - _MOST} more"
