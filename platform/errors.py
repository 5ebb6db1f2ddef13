"""Errors for the user. Configuration errors are reported together, before anything starts, each with its location."""

from collections.abc import Iterable
from dataclasses import dataclass

from storage.names import nearest

__all__ = ["Location", "Problem", "StudyError", "UserError", "nearest", "refuse"]


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
