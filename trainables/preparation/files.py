"""Input files of a data set: errors that name the file, and files whose content was not downloaded."""

import os
from pathlib import Path

from trainables.datasets.errors import DataProblem, DatasetError

_LARGEST_POINTER = 1024
"""Bytes. A pointer that git-annex or Git LFS leaves in place of a file is shorter."""


class InputError(DatasetError):
    """One input file cannot be used; `problem` says which, why, and what would be right."""

    def __init__(self, path: Path | str, what: str, right: str) -> None:
        self.problem = DataProblem(str(path), what, right)
        super().__init__(f"{path}: {what}; {right}")
        self.problems = (self.problem,)

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """Return how to pickle it: Ray sends errors between processes."""
        return InputError, (self.problem.where, self.problem.what, self.problem.right)


def require_content(path: Path) -> None:
    """Check that `path` is a file with its content.

    Raises:
        InputError: It is missing or empty, or a pointer of git-annex or Git LFS to content that is elsewhere.
    """
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        if "annex" in target:
            raise InputError(path, "its content was not downloaded (git-annex)", f"run `datalad get {path.name}`")
        raise InputError(path, f"is a link to {target}, which does not exist", "repair the link or copy the file")
    if not path.is_file():
        raise InputError(path, "there is no such file", "check the path, and that the archive was unpacked completely")
    size = path.stat().st_size
    if size == 0:
        raise InputError(path, "is empty (0 bytes)", "download it again")
    if size <= _LARGEST_POINTER:
        _refuse_pointer(path)


def _refuse_pointer(path: Path) -> None:
    start = path.read_bytes()[:200]
    if start.startswith(b"version https://git-lfs"):
        raise InputError(path, "its content was not downloaded (Git LFS)", f"run `git lfs pull --include {path.name}`")
    if start.startswith((b"/annex/objects/", b"../")) and b"annex/objects" in start:
        raise InputError(path, "its content was not downloaded (git-annex)", f"run `datalad get {path.name}`")


def require_size(path: Path, expected: int) -> None:
    """Check that `path` has at least as many bytes as its header promises.

    Raises:
        InputError: It is shorter.
    """
    size = path.stat().st_size
    if size < expected:
        what = f"is truncated: {size:,} bytes, but its header promises {expected:,}"
        raise InputError(path, what, "download or copy it again")
