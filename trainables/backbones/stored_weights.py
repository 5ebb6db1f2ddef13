"""Frozen networks that lie in a store: a machine fetches the files below a URI once, into the user's cache."""

import hashlib
from functools import lru_cache
from pathlib import Path

from storage.base import Store
from storage.content import write_file
from storage.errors import StoreError
from storage.uri import open_store
from trainables.user_cache import user_cache

_PATIENCE = 20.0


@lru_cache(maxsize=8)
def fetched_weights(uri: str) -> Path:
    """Return a local folder with all files below `uri`, such as `s3://bucket/models/clip`.

    Files that the cache has are compared with those of the store once per process, and fetched again if they differ.

    Raises:
        ValueError: The URI is wrong, the store cannot be reached, or nothing lies there.
    """
    folder = user_cache("weights") / hashlib.sha256(uri.encode()).hexdigest()[:16]
    try:
        store = open_store(uri, patience=_PATIENCE)
        keys = list(store.list(""))
        for key in keys:
            _fetch(store, key, folder / key)
    except (StoreError, ValueError) as error:
        raise ValueError(f"{uri} cannot be read: {error}") from error
    if not keys:
        raise ValueError(f"nothing lies below {uri}; it must hold the files of a model's folder")
    return folder


def _fetch(store: Store, key: str, target: Path) -> None:
    """Bring the bytes of `key` to `target` unless they are there; a local store's own file is linked, not copied."""
    if target.is_file() and store.holds(key, target) is True:
        return
    path = store.fetch(key, target)
    if path != target:
        with write_file(target) as temporary:
            temporary.symlink_to(path)
