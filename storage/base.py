"""The protocol that every backend follows. The contract suite in `tests/storage` runs over all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """One key with what is known of it without reading it."""

    key: str
    size: int
    """In bytes."""
    age: float
    """Seconds since it was written, by the server's clock."""


@dataclass(frozen=True)
class Leftover:
    """A file that an interrupted writer left. It belongs to no key and stays until it is collected."""

    name: str
    size: int
    """In bytes."""
    age: float
    """Seconds since it was begun (uploads) or last written (files)."""
    remove: Callable[[], None]


class Store(Protocol):
    """A flat space of keys that hold bytes, each written once. Safe to use from several threads and processes.

    A key is one or more parts joined by `/`; a part is what `storage.layout.checked` allows, so that no key leaves
    the store's prefix; any other is a `ValueError`. No key may be the folder of another (`a` and `a/b`).
    All methods raise `UnavailableError` when the store cannot be reached.
    """

    @property
    def uri(self) -> str:
        """What opens this store again, also on another machine for remote ones. Holds no secret."""

    @property
    def concurrency(self) -> int:
        """How many calls at a time pay off: 1 where a call is a system call, more where it crosses a network."""

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write `data` (bytes, or a local file that is streamed) atomically under `key`.

        Readers see nothing or all of it. Raises `ExistsError` if the key holds something, unless `replace`. Of several
        writers at a time one succeeds; only for large files on some S3 servers (see `storage.s3`) may more than one.
        """

    def get(self, key: str) -> bytes:
        """Return what `key` holds. Raises `NotFoundError`."""

    def fetch(self, key: str, target: Path) -> Path:
        """Return a local file with the bytes of `key`, to be read only.

        A local store returns its own file, so that processes which memory-map it share one copy; others stream
        the bytes to `target`, atomically. Raises `NotFoundError`.
        """

    def exists(self, key: str) -> bool:
        """Tell whether `key` holds something."""

    def size(self, key: str) -> int:
        """Return how many bytes `key` holds. Raises `NotFoundError`."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with `prefix`, in lexical order."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what `list` does, with sizes and ages."""

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it holds nothing."""

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what interrupted, or still working, writers have written under no key yet."""
