"""Errors and warnings about data sets, collected so that all are reported at once. Imports no engine."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

_NAME_OR_NUMBER = re.compile(r"'[^']*'|[-+]?\d[\d.e+-]*")
ROWS_HAVE_NO_LAG = "each row of this fMRI is the response to its clip already, so the lag must be 0 or be left out"

ROWS_HAVE_NO_WINDOW = "rows of presentations are no series of volumes, so none follows another and the window must be 1"


def some(names: Iterable[object], *, most: int = 3, separator: str = ", ") -> str:
    """Return the first names as text, and how many more there are.

    Example:
        >>> some(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'
    """
    listed = [str(name) for name in names]
    return separator.join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


class ClipError(ValueError):
    """A clip cannot be used; the message says why."""


class DatasetError(ValueError):
    """A data set cannot be used as it is. The message lists all problems."""

    problems: tuple["DataProblem", ...] = ()
    """The problems of the message; empty if it is only text."""

    @classmethod
    def of(cls, *problems: "DataProblem") -> "DatasetError":
        """Return the error that lists `problems`."""
        error = cls("\n".join(texts_of(problems)))
        error.problems = problems
        return error


class ChangedError(RuntimeError):
    """Files changed after a study was planned with them, so what was read belongs to another identity."""


@dataclass(frozen=True)
class DataProblem:
    """One error or warning about a data set."""

    where: str
    """File, and row or column."""
    what: str
    right: str
    """What would be right. Of a warning: what is done about it."""
    fatal: bool = True

    @property
    def text(self) -> str:
        """Location, problem and advice, without the severity."""
        return f"{self.where}: {self.what}; {self.right}"

    def __str__(self) -> str:
        return f"{'error' if self.fatal else 'warning'}: {self.text}"


@dataclass(frozen=True)
class DataReport:
    """All errors and warnings about a data set."""

    problems: tuple[DataProblem, ...] = ()

    @property
    def errors(self) -> tuple[DataProblem, ...]:
        """Problems with which the data set cannot be used."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def warnings(self) -> tuple[DataProblem, ...]:
        """Problems with which it can be used."""
        return tuple(problem for problem in self.problems if not problem.fatal)

    def raise_for_errors(self) -> None:
        """Raise `DatasetError` if there is any error."""
        if self.errors:
            error = DatasetError(f"the data set cannot be used: {len(self.errors)} error(s)\n{self}")
            error.problems = self.errors
            raise error

    def __str__(self) -> str:
        return "\n".join((*_grouped(self.errors, str), *_grouped(self.warnings, str)))


def texts_of(problems: Iterable[DataProblem]) -> list[str]:
    """Return a line for each problem, without how bad it is; many alike are one line with their number."""
    return _grouped(problems, lambda problem: problem.text)


def _grouped(problems: Iterable[DataProblem], text: Callable[[DataProblem], str]) -> list[str]:
    """Return a line for each problem; those of one file that differ only in names and numbers share one."""
    alike: dict[tuple[str, str], list[DataProblem]] = {}
    for problem in problems:
        file, _, rest = problem.where.partition(", ")
        kind = _NAME_OR_NUMBER.sub("", f"{rest}: {problem.what}; {problem.right}")
        alike.setdefault((file, kind), []).append(problem)
    return [_counted(text(group[0]), len(group) - 1) for group in alike.values()]


def _counted(line: str, more: int) -> str:
    return f"{line} (and {more} more like this)" if more else line


@dataclass(frozen=True)
class DataVerdict:
    """The result of checking a data set: its problems, and the facts that a study's config must fit."""

    report: DataReport
    subjects: int = 0
    """Number of subjects; 0 if unknown."""
    kind: Literal["series", "rows"] = "series"
    """Kind of the fMRI. A row is the response to one presentation and has no lag."""
    digest: str = ""
    """Digest of all files of a prepared data set; "" if they could not be read, and for other kinds."""
