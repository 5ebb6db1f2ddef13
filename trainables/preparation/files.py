"""Input files of a data set: errors that name the file, and files whose content was not downloaded."""

import os
from pathlib import Path

from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.pointers import pointer_at


class InputError(DatasetError):
    """One input file cannot be used. `problem` has the path, the reason and advice."""

    def __init__(self, path: Path | str, what: str, right: str) -> None:
        self.problem = DataProblem(str(path), what, right)
        super().__init__(f"{path}: {what}; {right}")
        self.problems = (self.problem,)

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """Return how to pickle it: Ray sends errors between processes."""
        return InputError, (self.problem.where, self.problem.what, self.problem.right)


def is_named(path: Path) -> bool:
    """Return whether there is a file, or a link to content that is not there (git-annex): who opens it says so."""
    return path.is_file() or path.is_symlink()


def require_content(path: Path) -> None:
    """Check that `path` is a file with its content.

    Raises:
        InputError: It is missing or empty, or a pointer of git-annex or Git LFS to content that is elsewhere.
    """
    pointer = pointer_at(path)
    if pointer is not None:
        raise InputError(path, pointer.what, f"run `{pointer.command}`")
    if path.is_symlink() and not path.exists():
        what = f"is a link to {os.readlink(path)}, which does not exist"
        raise InputError(path, what, "repair the link or copy the file")
    if not path.is_file():
        raise InputError(path, "there is no such file", "check the path; was the archive unpacked completely?")
    if path.stat().st_size == 0:
        raise InputError(path, "is empty (0 bytes)", "download it again")


def require_size(path: Path, expected: int) -> None:
    """Check that `path` has at least as many bytes as its header promises.

    Raises:
        InputError: It is shorter.
    """
    size = path.stat().st_size
    if size < expected:
        what = f"is truncated: {size:,} bytes, but its header promises {expected:,}"
        raise InputError(path, what, "download or copy it again")
