"""The hidden folder in which a data set is written. It records finished parts, so that a kill costs one part only."""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainables.datasets.errors import DataProblem, DatasetError

_PARTS, _REQUEST = ".parts", "request.json"
_RIGHT = "name a new or empty folder"


@dataclass(frozen=True)
class Workspace:
    """The folder of an unfinished data set. It has the final layout, and hidden files about finished parts."""

    folder: Path
    out: Path
    """The final folder of the data set."""

    def part(self, key: str, stamp: object) -> Any:
        """Return the facts that `finish` stored for a part of the same inputs, or None."""
        try:
            kept = json.loads(self._marker(key).read_text(encoding="utf-8"))
            return kept["facts"] if kept["stamp"] == _plain(stamp) else None
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return None

    def finish(self, key: str, stamp: object, facts: object) -> None:
        """Record that a part is finished, after its files are written."""
        scratch = self._marker(f"{key}.new")
        scratch.write_text(json.dumps({"stamp": stamp, "facts": facts}), encoding="utf-8")
        scratch.replace(self._marker(key))

    def forget(self, prefix: str) -> None:
        """Make all parts whose keys begin with `prefix` unfinished."""
        for path in (self.folder / _PARTS).glob(f"{prefix}*.json"):
            path.unlink()

    @property
    def has_parts(self) -> bool:
        """Whether any part is finished."""
        return any((self.folder / _PARTS).glob("*.json"))

    def discard(self, subject: str) -> None:
        """Delete what was written of a subject."""
        shutil.rmtree(self.folder / subject, ignore_errors=True)
        self.forget(f"{subject}-")

    def publish(self) -> None:
        """Turn the folder into the data set: the last step. A kill before it costs no part."""
        if self.out.exists():
            self.out.rmdir()  # it is empty: `open_workspace` refuses others
        self.folder.replace(self.out)
        shutil.rmtree(self.out / _PARTS)

    def remove(self) -> None:
        """Delete everything that was written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _marker(self, key: str) -> Path:
        return self.folder / _PARTS / f"{key}.json"


def _plain(value: object) -> Any:
    """Return `value` after a round trip through JSON."""
    return json.loads(json.dumps(value))


@contextmanager
def open_workspace(out: Path, request: Mapping[str, Any]) -> Iterator[Workspace]:
    """Make the hidden folder next to `out`, or continue in it if the same request left one.

    Raises:
        DatasetError: `out` is not empty or cannot be written, or another process is writing it.
    """
    folder = out.with_name(f".{out.name}.partial")
    try:
        with _alone(out):
            _refuse_content(out)  # another process may just have finished
            (folder / _PARTS).mkdir(parents=True, exist_ok=True)
            _begin(folder, request)
            yield Workspace(folder, out)
    except PermissionError as error:
        raise DatasetError.of(DataProblem(str(out), f"cannot be written: {error}", _RIGHT)) from error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock file beside `out` during the block, then remove it. A file that a kill leaves locks nothing."""
    path = out.with_name(f".{out.name}.lock")
    try:
        _refuse_content(out)
        if out.parent.exists() and not out.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(path, out)
    except OSError as error:  # such as a parent that is a file
        raise DatasetError.of(DataProblem(str(out), f"cannot be made: {error.strerror}", _RIGHT)) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is unlocked: who waits for another file at this path sees it is new
        lock.close()


def _locked(path: Path, out: Path) -> IO[str]:
    """Lock the file at `path`, and say in it who holds it. Raises `DatasetError` if another process does."""
    while True:
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with lock:
                lock.seek(0)
                holder = lock.read()
            what = f"{holder if holder else 'another process'} is writing this data set"
            raise DatasetError.of(DataProblem(str(out), what, "wait for it, or name another folder")) from None
        if _is_at(lock, path):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}, since {time.strftime('%H:%M:%S')},")
            lock.flush()
            return lock
        lock.close()  # its holder has finished and removed it


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _refuse_content(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError.of(DataProblem(str(out), "is not empty", _RIGHT))


def _begin(folder: Path, request: Mapping[str, Any]) -> None:
    """Keep the content of the folder if it is of the same request, else delete it."""
    requested = json.dumps(_plain(request), sort_keys=True)
    path = folder / _PARTS / _REQUEST
    if path.is_file() and path.read_text(encoding="utf-8") == requested:
        return
    for entry in os.scandir(folder):
        if entry.name != _PARTS:
            shutil.rmtree(entry) if entry.is_dir() else os.unlink(entry)
    for marker in (folder / _PARTS).glob("*.json"):
        marker.unlink()
    path.write_text(requested, encoding="utf-8")


def file_stamp(file: str) -> list[object]:
    """Return path, size and time of change, which differ when the file has changed."""
    try:
        status = Path(file).stat()
    except OSError:
        return [file]
    return [file, status.st_size, status.st_mtime_ns]
