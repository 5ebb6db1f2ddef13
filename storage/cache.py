"""Cache of a remote store's files in a folder of this machine. All processes of the machine share it.

The cache is bounded in size. Above the limit, the least recently used files are removed, except those that a running
process has asked for. Each process lists its files in a file of `.users/` and keeps that list locked, so the list of a
killed process is ignored. An open or memory-mapped file would survive its removal; the lists protect paths that were
returned and not opened yet. Every use verifies the digest of the file (once per process and file).
"""

import fcntl
import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from storage.base import Store
from storage.content import File, fetch_verified
from storage.environment import variable

LIMIT_VARIABLE = "MINDSWEEP_CACHE_GB"
"""Environment variable: limit of the cache in gigabytes. The default is half of the free disk."""
_DAY = 86_400.0


def limit_from_environment() -> int | None:
    """Return the limit that `LIMIT_VARIABLE` sets, in bytes, or None.

    Raises:
        ValueError: The variable is not a positive number.
    """
    text = variable(LIMIT_VARIABLE)
    if text is None:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise ValueError(f"{LIMIT_VARIABLE} must be a number of gigabytes above 0, but is {text!r}")
    return int(limit * 1e9)


class Cache:
    """A folder of copies. Files that `fetch` returned stay there while this object exists."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        """Use `folder`, which the first download creates.

        Args:
            folder: On a disk of this machine, since locks on network disks are not reliable.
            limit: In bytes. Several processes together may exceed it by a tenth. None is `limit_from_environment()`,
                or else half of the disk space that would be free without the cache.
        """
        self._folder = folder
        self._limit = limit if limit is not None else limit_from_environment()
        self._room = 0
        """Bytes that may be downloaded before the size of the folder is measured again."""
        self._used: set[str] = set()
        self._list: IO[str] | None = None
        self._mutex = threading.Lock()

    def fetch(self, store: Store, key: str, expected: File) -> Path:
        """Return a verified local file with the bytes of `key`: a local store's own file, or else a cached copy.

        Raises:
            NotFoundError: The key holds nothing.
            IntegrityError: The bytes differ from `expected`.
        """
        target = self._folder / key
        while True:
            was_there = target.is_file()
            try:
                path = fetch_verified(store, key, expected, target)
            except FileNotFoundError:  # another process has just removed it, as below
                continue
            if path != target:
                return path
            if self._mark_used(key):
                break
        if not was_there:
            self._count(expected.size)
        return target

    def _mark_used(self, key: str) -> bool:
        """Mark a file as used now by this process. Return whether it still exists."""
        path = self._folder / key
        with self._mutex, self._locked():
            if not path.is_file():
                return False
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # the disk may not record access times
            if key not in self._used:
                if self._list is None:
                    self._list = _locked_file(self._folder / ".users" / uuid.uuid4().hex)
                self._list.write(f"{key}\n")
                self._list.flush()
                self._used.add(key)
        return True

    def _count(self, size: int) -> None:
        with self._mutex:
            self._room -= size
            if self._room < 0:
                with self._locked():
                    self._room = self._shrink() // 8  # other processes download too

    def _shrink(self) -> int:
        """Remove the least recently used files until a tenth of the limit is free. Return the number of free bytes."""
        copies = sorted(self._copies())
        total = sum(size for _, size, _ in copies)
        limit = self._limit if self._limit is not None else (total + shutil.disk_usage(self._folder).free) // 2
        in_use = self._in_use() if total > limit else frozenset()
        excess = total - limit * 9 // 10 if total > limit else 0
        for _, size, path in copies:
            if excess <= 0:
                break
            if path.relative_to(self._folder).as_posix() not in in_use:
                path.unlink(missing_ok=True)
                excess -= size
                total -= size
        return max(0, limit - total)

    def _copies(self) -> Iterator[tuple[int, int, Path]]:
        """Yield (time of last use, size, path) of all copies. Remove downloads that a killed process left."""
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    if not path.name.startswith("."):
                        yield stat.st_atime_ns, stat.st_size, path
                    elif path.name.startswith(".tmp-") and time.time() - stat.st_mtime > _DAY:
                        path.unlink()

    def _in_use(self) -> frozenset[str]:
        """Return the keys on the lists of running processes. Lists without a lock are removed."""
        keys: set[str] = set()
        for path in (self._folder / ".users").iterdir():
            with open(path, encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    keys.update(file.read().splitlines())
                else:
                    path.unlink()
        return frozenset(keys)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from measuring and removing at the same time."""
        with _locked_file(self._folder / ".lock"):
            yield


def _locked_file(path: Path) -> IO[str]:
    """Return `path`, opened, and locked until it is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
