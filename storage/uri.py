"""Stores by URI: `file:///folder`, `memory://`, `s3://bucket/prefix`."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

from storage.base import Store
from storage.errors import ExistsError, UnavailableError
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.retry import RetryPolicy

FIRST_LOOK = 5.0
"""Seconds of `patience` for the first access to a store: a wrong address is then more likely than an outage."""


def open_store(uri: str, *, patience: float = 60.0) -> Store:
    """Return the store at `uri`, without access to disk or network; `check_store` accesses it.

    A remote store is retried for up to `patience` seconds. A relative path, such as `file://runs/store`, is relative to
    the working directory.

    Raises:
        ValueError: The scheme is unknown, or the URI is incomplete.

    Example:
        >>> store = open_store("memory://")
        >>> store.put("notes/first", b"text")
        >>> store.get("notes/first"), list(store.list("notes/"))
        (b'text', ['notes/first'])
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        raise ValueError(f"a store must be a URI such as {Path(uri).absolute().as_uri()}, but got {uri!r}")
    if scheme not in _SCHEMES:
        raise ValueError(f"unknown store scheme {scheme!r} in {uri!r}; known: {', '.join(sorted(_SCHEMES))}")
    return _SCHEMES[scheme](rest, patience)


def check_store(store: Store) -> None:
    """Check that `store` can be written and read, and does not overwrite keys.

    Raises:
        UnavailableError: The store cannot be accessed, or it overwrites keys.
    """
    key = f"probes/{uuid.uuid4().hex}"
    store.put(key, b"first")
    try:
        store.put(key, b"second")
    except ExistsError:
        return
    else:
        raise UnavailableError(
            f"{store.uri} overwrites existing keys; its server must support the header If-None-Match"
        )
    finally:
        store.delete(key)


def _open_file(rest: str, _: float) -> Store:
    if not rest:
        raise ValueError("the URI file:// has no folder; write file:///folder")
    return LocalStore(Path(unquote(rest)).expanduser())


def _open_memory(rest: str, _: float) -> Store:
    if rest:
        raise ValueError(f"a memory store has no name; write memory:// without {rest!r}")
    return MemoryStore()


def _open_s3(rest: str, patience: float) -> Store:
    from storage.s3 import S3Store  # boto3 takes 0.2 s to import

    bucket, _, prefix = rest.partition("/")
    return S3Store(bucket, prefix.strip("/"), retry=RetryPolicy(patience))


_SCHEMES: Mapping[str, Callable[[str, float], Store]] = {"file": _open_file, "memory": _open_memory, "s3": _open_s3}
