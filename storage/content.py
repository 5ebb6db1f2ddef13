"""Bytes known by their SHA-256: digests of files, verified downloads, and JSON objects that carry their own digest."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.base import Store
from storage.errors import IntegrityError
from storage.layout import checked_key


@dataclass(frozen=True)
class File:
    """One artifact of a stage run."""

    digest: str
    """SHA-256 in hex."""
    size: int

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise ValueError(f"a digest must be 64 hex digits, but got {self.digest!r}")
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f"a size must be a count of bytes, but got {self.size!r}")


def file_at(path: Path) -> File:
    """Return digest and size of a local file that may still change."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return File(digest, file.tell())


def settled_file_at(path: Path) -> File:
    """Return digest and size of a file that is only ever replaced, never changed in place (a store's or cache's).

    It is hashed once per process and (path, inode, size, time of change), so ten epochs do not hash it ten times.
    """
    stat = path.stat()
    return _hashed(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _hashed(path: str, inode: int, size: int, mtime_ns: int) -> File:
    return file_at(Path(path))


def files_in(folder: Path) -> Mapping[str, Path]:
    """Return the regular files below `folder` by relative name (`a/b.json`), sorted.

    Raises `ValueError` for a symbolic link or a name that no key may have.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; only regular files can be stored")
        if path.is_file():
            found[checked_key(path.relative_to(folder).as_posix())] = path
    return found


def fetch_verified(store: Store, key: str, expected: File, target: Path) -> Path:
    """Return a local file with the bytes of `key` after checking them; `target` serves as cache for remote stores.

    Raises `NotFoundError`, or `IntegrityError` that names key, expected and got.
    """
    if target.is_file() and settled_file_at(target) == expected:
        return target
    path = store.fetch(key, target)
    got = settled_file_at(path)
    if got != expected:
        if path == target:
            target.unlink()
        raise IntegrityError(
            f"{key} in {store.uri} is damaged: expected {expected.size} bytes with SHA-256 {expected.digest}, "
            f"but got {got.size} bytes with {got.digest}"
        )
    return path


@contextmanager
def write_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` that becomes `target`, atomically, unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return `value` as JSON text together with its SHA-256. Raises `ValueError` for NaN and infinity."""
    return _seal(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def unsealed(key: str, data: bytes) -> dict[str, Any]:
    """Return what `sealed` wrote. Raises `IntegrityError`, naming `key`, if any byte is missing or changed.

    A seal that fits is no proof of who made it: text that is no JSON object, or nested without end, is refused too.
    """
    body = data[_BODY:-1]
    if data != _seal(body):
        raise IntegrityError(f"{key} is damaged: its {len(data)} bytes do not match the SHA-256 that they carry")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{key} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{key} is no JSON object, but begins with {body[:20]!r}")
    return value


def _seal(body: bytes) -> bytes:
    return b'{"sha256":"%s","value":%s}' % (hashlib.sha256(body).hexdigest().encode(), body)


_BODY = len(_seal(b"")) - 1
