"""`memory://`: a dictionary, for tests and short trials. Its content is lost with the object."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from storage.base import Entry, Leftover, Store
from storage.content import write_file
from storage.errors import ExistsError, NotFoundError
from storage.layout import checked_key, checked_prefix


class MemoryStore:
    """Keys in a dictionary. Opening `memory://` again creates another, empty store."""

    uri = "memory://"
    concurrency = 1

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._written: dict[str, float] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Keep a copy; see `Store.put`."""
        content = data.read_bytes() if isinstance(data, Path) else bytes(data)
        with self._lock:
            if checked_key(key) in self._held and not replace:
                raise ExistsError(f"{key} in {self.uri} was written before")
            self._held[key] = content
            self._written[key] = time.monotonic()

    def get(self, key: str) -> bytes:
        """Return the bytes; see `Store.get`."""
        try:
            return self._held[checked_key(key)]
        except KeyError as error:
            raise NotFoundError(f"{key} in {self.uri} holds nothing") from error

    def fetch(self, key: str, target: Path) -> Path:
        """Write the bytes to `target`; see `Store.fetch`."""
        data = self.get(key)
        with write_file(target) as temporary:
            temporary.write_bytes(data)
        return target

    def exists(self, key: str) -> bool:
        """Return whether `key` holds something."""
        return checked_key(key) in self._held

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        return len(self.get(key))

    def holds(self, key: str, file: Path) -> bool | None:
        """Compare the bytes; see `Store.holds`."""
        return self._held.get(checked_key(key)) == file.read_bytes()

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order; see `Store.list`."""
        checked_prefix(prefix)
        with self._lock:
            keys = sorted(key for key in self._held if key.startswith(prefix))
        yield from keys

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys with their sizes and ages; see `Store.entries`."""
        for key in self.list(prefix):
            with self._lock:
                content, written = self._held.get(key), self._written.get(key, 0.0)
            if content is not None:
                yield Entry(key, len(content), time.monotonic() - written)

    def delete(self, key: str) -> None:
        """Remove `key`; see `Store.delete`."""
        with self._lock:
            self._held.pop(checked_key(key), None)
            self._written.pop(key, None)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield nothing: an interrupted write ends with its process."""
        yield from ()


if TYPE_CHECKING:
    _: Store = MemoryStore()
