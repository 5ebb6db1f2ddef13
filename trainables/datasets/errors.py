"""What is wrong with a data set, all of it at once. Light: the command line imports it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ROWS_HAVE_NO_LAG = "each row of this fMRI answers its clip already, so the lag must be 0 or be left out"


def some(names: Iterable[object], *, most: int = 3, separator: str = ", ") -> str:
    """List the first names, and tell how many more there are."""
    listed = [str(name) for name in names]
    return separator.join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


class ClipError(ValueError):
    """A clip cannot be used; the message says why."""


class DatasetError(ValueError):
    """A data set cannot be used as it is; the message lists everything that was found."""

    problems: tuple["DataProblem", ...] = ()
    """The same as data, where it is known."""

    @classmethod
    def of(cls, *problems: "DataProblem") -> "DatasetError":
        """Return the error that lists `problems`."""
        error = cls("\n".join(problem.text for problem in problems))
        error.problems = problems
        return error


class ChangedError(RuntimeError):
    """Files changed after a study was planned with them, so what was read belongs to another identity."""


@dataclass(frozen=True)
class DataProblem:
    """One thing that was found."""

    where: str
    """File, and row or column."""
    what: str
    right: str
    """What would be right, or what is done about it."""
    fatal: bool = True

    @property
    def text(self) -> str:
        """All of it, but for how bad it is."""
        return f"{self.where}: {self.what}; {self.right}"

    def __str__(self) -> str:
        return f"{'error' if self.fatal else 'warning'}: {self.text}"


@dataclass(frozen=True)
class DataReport:
    """All that was found, errors and warnings."""

    problems: tuple[DataProblem, ...] = ()

    @property
    def errors(self) -> tuple[DataProblem, ...]:
        """What keeps the data set from being used."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def warnings(self) -> tuple[DataProblem, ...]:
        """What is worth knowing."""
        return tuple(problem for problem in self.problems if not problem.fatal)

    def raise_for_errors(self) -> None:
        """Raise `DatasetError` if there is any error."""
        if self.errors:
            error = DatasetError(f"the data set cannot be used: {len(self.errors)} error(s)\n{self}")
            error.problems = self.errors
            raise error

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.errors, *self.warnings)))


@dataclass(frozen=True)
class DataVerdict:
    """What a check of a data set found: what is wrong, and what else a study must fit."""

    report: DataReport
    subjects: int = 0
    """How many; 0 if unknown."""
    kind: Literal["series", "rows"] = "series"
    """Of the fMRI: rows answer one presentation each and have no lag."""
