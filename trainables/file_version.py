"""Tells one version of a file from the next, and digests each version once."""

from functools import lru_cache
from pathlib import Path

from storage.content import file_at

FileVersion = tuple[int, ...]
"""What changes with every write to a file, whatever is done to its times afterwards."""


def version_of(path: Path) -> FileVersion:
    """Return the version of a file. Raises `OSError` if there is none."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_of_file(path: Path) -> str:
    """Return a file's SHA-256 in hex. It is computed once per version: a plan asks for it in every trial.

    Files of a store and its cache are never changed in place, but their times are: `storage.content.settled_file_at`.
    """
    return _digest(path, version_of(path))


@lru_cache(maxsize=100_000)
def _digest(path: Path, version: FileVersion) -> str:
    return file_at(path).digest
