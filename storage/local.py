"""`file://`: a folder on this machine, or on a disk that several machines share.

Each write goes to a hidden file in the folder of its key. The file is then linked (put-once) or renamed (replace) to
the key, so a process that is killed leaves nothing or all of it. Where the file system has no hard links (exFAT, SMB,
many FUSE mounts), an empty file reserves the key and is then replaced; a process that is killed between the two leaves
it empty, which counts as not written. Errors that network disks raise for a moment are tried again.

`fsync` is not called: data in the kernel survives the death of a process, and a put takes well under a millisecond.
After a power cut the newest keys can be missing or short. Reads verify digests, so this is detected and the work is
repeated.
"""

import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from storage.base import Entry, Leftover, Store
from storage.errors import ExistsError, NotFoundError, StoreError, UnavailableError
from storage.layout import checked_key, checked_prefix
from storage.retry import RetryPolicy

_CHUNK = 1 << 20
_TEMPORARY = ".tmp-"
_READING: Mapping[type[OSError], type[StoreError]] = {
    FileNotFoundError: NotFoundError,
    NotADirectoryError: NotFoundError,
    IsADirectoryError: NotFoundError,
}
_WRITING: Mapping[type[OSError], type[StoreError]] = {FileExistsError: ExistsError}
_OTHER: Mapping[type[OSError], type[StoreError]] = {}
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Errors of `link` on file systems that have no hard links."""
_PASSING = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT})
"""Errors that a network disk raises while its server is away or has just come back."""
Result = TypeVar("Result")


_POLICY = RetryPolicy(patience=20.0)


class LocalStore:
    """Keys as files below one folder, which the first write creates. The files are read-only, since they are shared."""

    concurrency = 1

    def __init__(self, root: Path, *, policy: RetryPolicy = _POLICY) -> None:
        """Use the folder `root`; `policy` is for the errors of network disks."""
        self._root = str(root.resolve())
        self._policy = policy

    @property
    def folder(self) -> Path:
        """The folder. It may not exist yet."""
        return Path(self._root)

    @property
    def uri(self) -> str:
        """The folder as an absolute `file://` URI."""
        return self.folder.as_uri()

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write atomically; see `Store.put`."""
        path = self._path(key)
        if not replace and os.path.lexists(path):
            raise ExistsError(f"{key} in {self.uri} was written before")
        with open(data, "rb") if isinstance(data, Path) else BytesIO(data) as source:
            with self._translated("make the folder of", key, _OTHER), suppress(FileExistsError):
                self._again(lambda: os.makedirs(os.path.dirname(path)))
            with self._translated("write", key, _WRITING):
                temporary = self._again(lambda: _written(source, os.path.dirname(path)))
                try:
                    self._again(lambda: (os.replace if replace else _put_once)(temporary, path))
                finally:
                    with suppress(OSError):  # it became the key; or it stays, and `storage.gc` finds it
                        os.unlink(temporary)

    def get(self, key: str) -> bytes:
        """Return the bytes; see `Store.get`."""
        path = self._path(key)
        with self._translated("read", key, _READING):
            return self._again(partial(_bytes_of, path))

    def fetch(self, key: str, target: Path) -> Path:
        """Return the store's own file; `target` is not used."""
        self.size(key)
        return Path(self._path(key))

    def exists(self, key: str) -> bool:
        """Return whether `key` holds something."""
        try:
            self.size(key)
        except NotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        path = self._path(key)
        with self._translated("read", key, _READING):
            status = self._again(lambda: os.stat(path))
        if stat.S_ISDIR(status.st_mode):
            raise NotFoundError(f"{key} in {self.uri} holds nothing")
        return status.st_size

    def holds(self, key: str, file: Path) -> bool | None:
        """Return False if `key` holds nothing, else None: a file system keeps no digests; see `Store.holds`."""
        return None if self.exists(key) else False

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order; see `Store.list`."""
        folder, slash, start = checked_prefix(prefix).rpartition("/")
        path = self._path(folder) if slash else self._root
        with self._translated("list", prefix, _OTHER):
            yield from self._walk(path, folder + slash, start)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys with sizes and ages from the file system; see `Store.entries`."""
        for key in self.list(prefix):
            with suppress(FileNotFoundError):  # removed after the listing
                status = os.stat(self._path(key))
                yield Entry(key, status.st_size, time.time() - status.st_mtime)

    def delete(self, key: str) -> None:
        """Remove the file; see `Store.delete`."""
        path = self._path(key)
        with self._translated("remove", key, _OTHER), suppress(FileNotFoundError, NotADirectoryError):
            self._again(lambda: os.unlink(path))

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the temporary files; see `Store.leftovers`."""
        for folder, _, names in os.walk(self._root):
            for path in sorted(Path(folder, name) for name in names if name.startswith(_TEMPORARY)):
                with suppress(FileNotFoundError):  # became a key, or was removed
                    status = path.stat()
                    name = path.relative_to(self._root).as_posix()
                    age = time.time() - status.st_mtime
                    yield Leftover(name, status.st_size, age, partial(path.unlink, missing_ok=True))

    def _walk(self, folder: str, prefix: str, start: str) -> Iterator[str]:
        """Yield the keys below `folder` in lexical order. A folder is sorted as its name with `/`."""
        names = self._again(lambda: _names(folder))
        for name in sorted(name + "/" * is_folder for name, is_folder in names if name.startswith(start)):
            if name.endswith("/"):
                yield from self._walk(f"{folder}/{name[:-1]}", prefix + name, "")
            else:
                yield prefix + name

    def _again(self, action: Callable[[], Result]) -> Result:
        """Return `action()`; errors that pass are tried again."""
        return self._policy.call(lambda attempt: action(), transient=_passes)

    def _path(self, key: str) -> str:
        path = self._root
        for part in checked_key(key).split("/"):
            path = f"{path}/{part}"
            if os.path.islink(path):
                raise ValueError(f"key {key} of {self.uri} contains the symbolic link {path}")
        return path

    @contextmanager
    def _translated(self, action: str, key: str, table: Mapping[type[OSError], type[StoreError]]) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise table.get(type(error), UnavailableError)(
                f"cannot {action} {key} in {self.uri}: {error.strerror}"
            ) from error


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as source:
        return source.read()


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o444)


def _passes(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _PASSING


def _written(source: IO[bytes], folder: str) -> str:
    """Write all bytes of `source` to a new hidden file in `folder`; return its path."""
    path = os.path.join(folder, f"{_TEMPORARY}{uuid.uuid4().hex}")
    source.seek(0)
    try:
        with open(path, "xb", opener=_read_only) as target:
            shutil.copyfileobj(source, target, _CHUNK)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return path


def _put_once(temporary: str, path: str) -> None:
    """Give the file `temporary` the name `path`. Raises `FileExistsError` if that is another file."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not os.path.samefile(temporary, path):  # it is, if a network disk has done what it said had failed
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))
        os.replace(temporary, path)


def _names(folder: str) -> list[tuple[str, bool]]:
    """Return the names in `folder` that can be parts of keys, and whether each is a folder; none if it is absent."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _is_part(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_part(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and not entry.is_symlink()


if TYPE_CHECKING:
    _: Store = LocalStore(Path())
