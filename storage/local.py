"""`file://`: a folder on this machine, or on a disk that several machines share.

Each write goes to a hidden file beside its key and is then linked (once) or renamed (replace) into place, so a
process killed at any moment leaves nothing or all of it under the key. Nothing is forced to the disk (`fsync`): what
the kernel has taken survives every death of a process, and a put stays well under a millisecond. After a power cut
the newest keys can be missing or short; reads are verified against digests, so that is noticed and the work repeated.
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
    """Keys as files below one folder, which is made by the first write. Files are read-only: they are shared."""

    concurrency = 1

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())

    @property
    def uri(self) -> str:
        """The folder as an absolute `file://` URI."""
        return Path(self._root).as_uri()

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
        """Tell whether `key` holds something."""
        return os.path.isfile(self._path(key))

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        path = self._path(key)
        if os.path.isdir(path):
            raise NotFoundError(f"{key} in {self.uri} holds nothing")
        with self._translated("read", key, _READING):
            return os.stat(path).st_size

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order; see `Store.list`."""
        folder, slash, start = checked_prefix(prefix).rpartition("/")
        path = self._path(folder) if slash else self._root
        with self._translated("list", prefix, _OTHER):
            yield from _walk(path, folder + slash, start)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys with what the file system knows of them; see `Store.entries`."""
        for key in self.list(prefix):
            with suppress(FileNotFoundError):  # removed since it was listed
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
            for name in sorted(name for name in names if name.startswith(_TEMPORARY)):
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # became a key, or was given up
                    stat = path.stat()
                    where = path.relative_to(self._root).as_posix()
                    yield Leftover(
                        where, stat.st_size, time.time() - stat.st_mtime, partial(path.unlink, missing_ok=True)
                    )

    def _path(self, key: str) -> str:
        path = self._root
        for part in checked_key(key).split("/"):
            path = f"{path}/{part}"
            if os.path.islink(path):
                raise ValueError(f"the key {key} of {self.uri} goes through the symbolic link {path}")
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
    """Yield the keys below `folder`; a folder sorts as its name with `/`, which makes the whole order lexical."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _is_part(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in sorted(name + "/" * is_folder for name, is_folder in found if name.startswith(start)):
        if name.endswith("/"):
            yield from _walk(f"{folder}/{name[:-1]}", prefix + name, "")
        else:
            yield prefix + name


def _is_part(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and not entry.is_symlink()


if TYPE_CHECKING:
    _: Store = LocalStore(Path())
