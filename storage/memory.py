"""`memory://`: a dictionary, for tests and for trying things out. It lives as long as the object and its process."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from storage.base import Store
from storage.content import write_file
from storage.errors import ExistsError, NotFoundError
from storage.layout import checked_key, checked_prefix


class MemoryStore:
    """Keys in a dictionary. Opening `memory://` again gives another, empty store: nothing is shared."""

    uri = "memory://"
    concurrency = 1

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Hold a copy; see `Store.put`."""
        held = data.read_bytes() if isinstance(data, Path) else bytes(data)
        with self._lock:
            if checked_key(key) in self._held and not replace:
                raise ExistsError(f"{key} in {self.uri} was written before")
            self._held[key] = held

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
        """Tell whether `key` holds something."""
        return checked_key(key) in self._held

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        return len(self.get(key))

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order; see `Store.list`."""
        checked_prefix(prefix)
        with self._lock:
            keys = sorted(key for key in self._held if key.startswith(prefix))
        yield from keys

    def delete(self, key: str) -> None:
        """Forget `key`; see `Store.delete`."""
        with self._lock:
            self._held.pop(checked_key(key), None)


if TYPE_CHECKING:
    _: Store = MemoryStore()
