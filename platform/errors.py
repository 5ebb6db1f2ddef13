"""Mistakes of the user: found before anything starts, told all at once, each with its place and the way out."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

FEW = 8
"""So many names are listed even where a near one is known."""


class UserError(Exception):
    """What the user asked for cannot be done; nothing was started. Its text is for the user, the exit code is 2."""

    exit_code = 2


class StudyError(Exception):
    """The study cannot go on, through no mistake in its definition. Its text is for the user, the exit code is 1."""

    exit_code = 1


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written: a line and column (from 1) of a file, or an option of the command line (line 0)."""

    line: int
    column: int
    label: str
    """The file, or the option as typed."""

    def __str__(self) -> str:
        return self.label if self.line == 0 else f"{self.label}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake."""

    place: Place
    key: str
    what: str
    """What is wrong; what would be right."""

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.what}" if self.key != "" else f"{self.place}: {self.what}"


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one `UserError` that tells all `problems` in the order of the file; do nothing if there are none."""
    ordered = sorted(set(problems))
    if ordered:
        raise UserError("\n".join(map(str, ordered)))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" where some of the `known` names are near, and the list of all where they are few."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not near:
        leaf = name.rpartition(".")[2]
        near = [other for other in names if other.rpartition(".")[2] == leaf][:3]
    question = f"did you mean {' or '.join(near)}?" if near else ""
    everything = f"there are: {', '.join(names)}" if len(names) <= FEW or not near else ""
    return " ".join(part for part in (question, everything) if part)
