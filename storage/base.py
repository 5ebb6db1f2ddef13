"""The protocol of every storage backend. The contract suite in `tests/storage` tests all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A key, and what a listing tells about it."""

    key: str
    size: int
    """In bytes."""
    age: float
    """Seconds since it was written, by the clock of the server."""


@dataclass(frozen=True)
class Leftover:
    """A file that an interrupted write left. It belongs to no key and stays until `storage.gc` removes it."""

    name: str
    size: int
    """In bytes."""
    age: float
    """Seconds since it was started (uploads) or last written (files)."""
    remove: Callable[[], None]


class Store(Protocol):
    """A flat set of keys that hold bytes. Each key is written once. Safe for several threads and processes.

    A key consists of parts joined by `/`. Each part must satisfy `storage.layout.checked`, so that no key leaves the
    prefix of the store. A key must not be the folder of another key (`a` and `a/b`).

    All methods raise `ValueError` for an invalid key, and `UnavailableError` if the store cannot be reached.
    """

    @property
    def uri(self) -> str:
        """The URI that opens this store again, for remote stores also on another machine. Contains no secret."""

    @property
    def concurrency(self) -> int:
        """Number of calls at a time that is fastest: 1 for system calls, more for calls over a network."""

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write `data` (bytes, or a local file that is streamed) atomically under `key`.

        Readers see nothing or all of it. Of several simultaneous writers one succeeds; more than one can succeed only
        for large files on some S3 servers (see `storage.s3`).

        Raises:
            ExistsError: The key holds something, and `replace` is False.
        """

    def get(self, key: str) -> bytes:
        """Return the bytes of `key`. Raises `NotFoundError`."""

    def fetch(self, key: str, target: Path) -> Path:
        """Return a local file with the bytes of `key`. The caller must not write to it.

        A local store returns its own file, so that all processes that memory-map it share one copy. Other stores
        stream the bytes to `target`, atomically.

        Raises:
            NotFoundError: The key holds nothing.
        """

    def exists(self, key: str) -> bool:
        """Return whether `key` holds something."""

    def size(self, key: str) -> int:
        """Return the number of bytes of `key`. Raises `NotFoundError`."""

    def holds(self, key: str, file: Path) -> bool | None:
        """Return whether `key` holds the bytes of the local `file`, without moving any of them.

        True only if the store keeps a digest of what it received, and it is that of the file. None if the store cannot
        tell: then only reading the bytes can.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with `prefix`, in lexical order."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the keys that `list` yields, with sizes and ages."""

    def delete(self, key: str) -> None:
        """Remove `key`. Nothing happens if it holds nothing."""

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the files of writes that were interrupted or are not complete yet."""
