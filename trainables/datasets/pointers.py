"""Files whose content was not downloaded: pointers that git-annex (DataLad) and Git LFS leave instead of a file."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.datasets.errors import DataProblem, some

_LARGEST = 1024
"""Bytes. A pointer is shorter."""
PointerKind = Literal["git-annex", "Git LFS"]


@dataclass(frozen=True)
class Pointer:
    """A file without its content."""

    path: Path
    kind: PointerKind

    @property
    def what(self) -> str:
        """What is wrong."""
        return f"its content was not downloaded ({self.kind})"

    @property
    def command(self) -> str:
        """The command that downloads the content, to be run in the folder of the file."""
        return _command(self.kind, self.path.name)


def _command(kind: PointerKind, name: str) -> str:
    return f"datalad get {name}" if kind == "git-annex" else f"git lfs pull --include {name}"


def pointer_at(path: Path) -> Pointer | None:
    """Return the pointer in `path`, or None if it is another file. Reads its first bytes only."""
    if path.is_symlink() and not path.exists():
        return Pointer(path, "git-annex") if "annex" in os.readlink(path) else None
    if not path.is_file() or not 0 < path.stat().st_size <= _LARGEST:
        return None
    start = path.read_bytes()[:200]
    if start.startswith(b"version https://git-lfs"):
        return Pointer(path, "Git LFS")
    if start.startswith((b"/annex/objects/", b"../")) and b"annex/objects" in start:
        return Pointer(path, "git-annex")
    return None


def pointer_problems(paths: Iterable[Path], folder: Path) -> list[DataProblem]:
    """Return a problem for each kind of pointers among `paths`; those in `folder` are named relative to it."""
    pointers = [pointer for path in paths if (pointer := pointer_at(path)) is not None]
    kinds = dict.fromkeys(pointer.kind for pointer in pointers)
    return [_problem(kind, [each.path for each in pointers if each.kind == kind], folder) for kind in kinds]


def _problem(kind: PointerKind, paths: Sequence[Path], folder: Path) -> DataProblem:
    names = [path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path) for path in paths]
    what = f"the content of {len(names)} file(s) was not downloaded ({kind}): {some(names)}"
    command = "datalad get ." if kind == "git-annex" else "git lfs pull"
    return DataProblem(str(folder), what, f"run `{command}` in this folder")
