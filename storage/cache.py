"""Verified copies of a remote store's files in a folder of this machine, shared by its processes, bounded in size.

When the bound is passed, the files used longest ago go, but none that a living process has asked for: each process
lists those in a file of `.users/` that it holds locked, so the list of a process that was killed counts no more.
A file that is open or memory-mapped would survive its removal anyway; the list is for paths that were only handed out.
What the cache holds is never trusted: every use compares digests (once per process and file).
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

LIMIT_VARIABLE = "MINDSWEEP_CACHE_GB"
"""What a machine whose environment has it spends on copies, in gigabytes, in place of half of its free disk."""
_DAY = 86_400.0


def limit_here() -> int | None:
    """Return how many bytes this machine's environment allows for copies, or None. Raises `ValueError`."""
    text = os.environ.get(LIMIT_VARIABLE)
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
    """A folder of copies. What it has handed out stays there as long as this object lives."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        """Use `folder`, made by the first download.

        Args:
            folder: On a disk of this machine (locks of network disks are not to be relied on).
            limit: Bytes; several processes may pass it by a tenth. None: what `limit_here` says, else half of what
                the disk would have free without the cache.
        """
        self._folder = folder
        self._limit = limit if limit is not None else limit_here()
        self._room = 0
        """Bytes that may be downloaded before the folder is looked through again."""
        self._used: set[str] = set()
        self._list: IO[str] | None = None
        self._mutex = threading.Lock()

    def fetch(self, store: Store, key: str, expected: File) -> Path:
        """Return a local file with the bytes of `key`, verified: a local store's own file, else a copy in the cache.

        Raises `NotFoundError`, or `IntegrityError` that names key, expected and got.
        """
        target = self._folder / key
        while True:
            was_there = target.is_file()
            try:
                path = fetch_verified(store, key, expected, target)
            except FileNotFoundError:  # another process removed it just now, as below
                continue
            if path != target:
                return path
            if self._hold(key):
                break
        if not was_there:
            self._count(expected.size)
        return target

    def _hold(self, key: str) -> bool:
        """Mark a file as in use, now and by us; return whether it is (still) there."""
        path = self._folder / key
        with self._mutex, self._locked():
            if not path.is_file():
                return False
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # disks may be mounted without access times
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
        """Remove what was used longest ago until a tenth of the limit is free; return how many bytes are."""
        held = sorted(self._held())
        total = sum(size for _, size, _ in held)
        limit = self._limit if self._limit is not None else (total + shutil.disk_usage(self._folder).free) // 2
        in_use = self._in_use() if total > limit else frozenset()
        excess = total - limit * 9 // 10 if total > limit else 0
        for _, size, path in held:
            if excess <= 0:
                break
            if path.relative_to(self._folder).as_posix() not in in_use:
                path.unlink(missing_ok=True)
                excess -= size
                total -= size
        return max(0, limit - total)

    def _held(self) -> Iterator[tuple[int, int, Path]]:
        """Yield (time of last use, size, path) of all copies; remove downloads that a killed process left."""
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
        """Return the keys on the lists of living processes; lists without a lock are removed."""
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
        """Keep other processes from looking and removing meanwhile."""
        with _locked_file(self._folder / ".lock"):
            yield


def _locked_file(path: Path) -> IO[str]:
    """Return `path`, opened and locked until it is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
