"""Errors for the user. Configuration errors are reported together, before anything starts, each with its location."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

FEW = 8
"""Largest number of names that a message lists in addition to the nearest ones."""


class UserError(Exception):
    """The request of the user is not valid; nothing was started. The text is for the user, the exit code is 2."""

    exit_code = 2


class StudyError(Exception):
    """The study cannot continue, although its definition is valid. The text is for the user, the exit code is 1."""

    exit_code = 1


@dataclass(frozen=True, order=True)
class Location:
    """The location of a value: a line and column (from 1) of a file, or an option of the command line (line 0)."""

    line: int
    column: int
    label: str
    """The file, or the option as typed."""

    def __str__(self) -> str:
        return self.label if self.line == 0 else f"{self.label}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One configuration error."""

    location: Location
    key: str
    message: str
    """What is wrong; what would be right."""

    def __str__(self) -> str:
        return f"{self.location}: {self.key}: {self.message}" if self.key != "" else f"{self.location}: {self.message}"


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one `UserError` with all `problems` in the order of the file; do nothing if there are none."""
    ordered = sorted(set(problems))
    if ordered:
        raise UserError("\n".join(map(str, ordered)))


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return "did you mean ...?" with the nearest of the `candidates`, and the list of all if they are few."""
    names = sorted(set(candidates))
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not similar:
        leaf = name.rpartition(".")[2]
        similar = [other for other in names if other.rpartition(".")[2] == leaf][:3]
    question = f"did you mean {' or '.join(similar)}?" if similar else ""
    listing = f"there are: {', '.join(names)}" if len(names) <= FEW or not similar else ""
    return " ".join(part for part in (question, listing) if part)
