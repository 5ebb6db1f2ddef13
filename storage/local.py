"""`file://`: a folder on this machine, or on a disk that several machines share.

Each write goes to a hidden file in the folder of its key. The file is then linked (put-once) or renamed (replace) to
the key, so a process that is killed leaves nothing or all of it. `fsync` is not called: data in the kernel survives the
death of a process, and a put takes well under a millisecond. After a power cut the newest keys can be missing or short.
Reads verify digests, so this is detected and the work is repeated.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from storage.base import Entry, Leftover, Store
from storage.errors import ExistsError, NotFoundError, StoreError, UnavailableError
from storage.layout import checked_key, checked_prefix

_CHUNK = 1 << 20
_TEMPORARY = ".tmp-"
_READING: Mapping[type[OSError], type[StoreError]] = {
    FileNotFoundError: NotFoundError,
    NotADirectoryError: NotFoundError,
    IsADirectoryError: NotFoundError,
}
_WRITING: Mapping[type[OSError], type[StoreError]] = {FileExistsError: ExistsError}
_OTHER: Mapping[type[OSError], type[StoreError]] = {}


class LocalStore:
    """Keys as files below one folder, which the first write creates. The files are read-only, since they are shared."""

    concurrency = 1

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())

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
        temporary = os.path.join(os.path.dirname(path), f"{_TEMPORARY}{uuid.uuid4().hex}")
        with open(data, "rb") if isinstance(data, Path) else BytesIO(data) as source:
            with self._translated("make the folder of", key, _OTHER), suppress(FileExistsError):
                os.makedirs(os.path.dirname(path))
            with self._translated("write", key, _WRITING):
                try:
                    with open(temporary, "xb", opener=_read_only) as target:
                        shutil.copyfileobj(source, target, _CHUNK)
                    (os.replace if replace else os.link)(temporary, path)
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(temporary)

    def get(self, key: str) -> bytes:
        """Return the bytes; see `Store.get`."""
        path = self._path(key)
        with self._translated("read", key, _READING), open(path, "rb") as file:
            return file.read()

    def fetch(self, key: str, target: Path) -> Path:
        """Return the store's own file; `target` is not used."""
        self.size(key)
        return Path(self._path(key))

    def exists(self, key: str) -> bool:
        """Return whether `key` holds something."""
        return os.path.isfile(self._path(key))

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        path = self._path(key)
        if os.path.isdir(path):
            raise NotFoundError(f"{key} in {self.uri} holds nothing")
        with self._translated("read", key, _READING):
            return os.stat(path).st_size

    def holds(self, key: str, file: Path) -> bool | None:
        """Return False if `key` holds nothing, else None: a file system keeps no digests; see `Store.holds`."""
        return None if self.exists(key) else False

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order; see `Store.list`."""
        folder, slash, start = checked_prefix(prefix).rpartition("/")
        path = self._path(folder) if slash else self._root
        with self._translated("list", prefix, _OTHER):
            yield from _walk(path, folder + slash, start)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys with sizes and ages from the file system; see `Store.entries`."""
        for key in self.list(prefix):
            with suppress(FileNotFoundError):  # removed after the listing
                stat = os.stat(self._path(key))
                yield Entry(key, stat.st_size, time.time() - stat.st_mtime)

    def delete(self, key: str) -> None:
        """Remove the file; see `Store.delete`."""
        path = self._path(key)
        with self._translated("remove", key, _OTHER), suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the temporary files; see `Store.leftovers`."""
        for folder, _, names in os.walk(self._root):
            for path in sorted(Path(folder, name) for name in names if name.startswith(_TEMPORARY)):
                with suppress(FileNotFoundError):  # became a key, or was removed
                    stat = path.stat()
                    name = path.relative_to(self._root).as_posix()
                    yield Leftover(
                        name, stat.st_size, time.time() - stat.st_mtime, partial(path.unlink, missing_ok=True)
                    )

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


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o444)


def _walk(folder: str, prefix: str, start: str) -> Iterator[str]:
    """Yield the keys below `folder` in lexical order. A folder is sorted as its name with `/`."""
    try:
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _is_part(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in sorted(name + "/" * is_folder for name, is_folder in names if name.startswith(start)):
        if name.endswith("/"):
            yield from _walk(f"{folder}/{name[:-1]}", prefix + name, "")
        else:
            yield prefix + name


def _is_part(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and not entry.is_symlink()


if TYPE_CHECKING:
    _: Store = LocalStore(Path())
