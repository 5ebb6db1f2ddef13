"""SHA-256 digests of files, verified downloads, and JSON objects that contain their own digest."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from storage import layout
from storage.base import Store
from storage.errors import ExistsError, IntegrityError, NotFoundError
from storage.layout import checked_key
from storage.owned_folders import owned_folder
from storage.typed import check_mapping, mapping_to, mapping_with


@dataclass(frozen=True)
class File:
    """One artifact of a stage run."""

    digest: str
    """SHA-256 in hex."""
    size: int
    """In bytes."""

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise ValueError(f"digest is {self.digest!r}; it must be 64 hex digits")
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f"size is {self.size!r}; it must be a number of bytes")


def described_files(value: Any) -> dict[str, File]:
    """Return the files that a record describes, by name. Raises `IntegrityError` if it describes none."""
    check_mapping({"files": value}, files=mapping_to(mapping_with(digest=str, size=int)))
    try:
        return {checked_key(name): File(**file) for name, file in value.items()}
    except (TypeError, ValueError) as error:
        raise IntegrityError(str(error)) from error


def file_at(path: Path) -> File:
    """Return digest and size of a local file that may still change."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return File(digest, file.tell())


def settled_file_at(path: Path) -> File:
    """Return digest and size of a file that is never changed in place, only replaced (in a store or cache).

    The file is hashed once per process and (path, inode, size, time of change), so ten epochs do not hash it ten times.
    """
    stat = path.stat()
    return _hashed(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _hashed(path: str, inode: int, size: int, mtime_ns: int) -> File:
    return file_at(Path(path))


def files_in(folder: Path) -> Mapping[str, Path]:
    """Return the regular files below `folder` by relative name (`a/b.json`), sorted.

    Raises:
        ValueError: There is a symbolic link, or a name that is not valid in a key.
    """
    paths = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; only regular files can be stored")
        if path.is_file():
            paths[checked_key(path.relative_to(folder).as_posix())] = path
    return paths


def fetch_verified(store: Store, key: str, expected: File, target: Path) -> Path:
    """Return a verified local file with the bytes of `key`. For remote stores, `target` is the cached copy.

    Raises:
        NotFoundError: The key holds nothing.
        IntegrityError: The bytes differ from `expected`.
    """
    if target.is_file() and settled_file_at(target) == expected:
        return target
    path = store.fetch(key, target)
    actual = settled_file_at(path)
    if actual != expected:
        if path == target:
            target.unlink()
        raise IntegrityError(
            f"{key} in {store.uri} is damaged: expected {expected.size} bytes with SHA-256 {expected.digest}, "
            f"but got {actual.size} bytes with {actual.digest}"
        )
    return path


def has_intact(store: Store, key: str, path: Path, file: File) -> bool:
    """Return whether `key` holds the bytes of `path`, whose digest is `file`; read from there unless it can tell."""
    if (held := store.holds(key, path)) is not None:
        return held
    try:
        # Not in a cache: the bytes in the store must be verified.
        with owned_folder("mindsweep-blob-") as folder:
            fetch_verified(store, key, file, folder / file.digest)
    except (IntegrityError, NotFoundError):
        return False
    return True


def put_blob(store: Store, path: Path) -> File:
    """Store a file under its digest and return its digest and size. A damaged blob with this digest is replaced.

    A blob that the store holds is neither uploaded nor downloaded if the store keeps a digest of what it received
    (S3: `storage.s3_parts.holds_file` says what is trusted). Else its bytes are read and verified: a local store's
    where they lie.
    """
    file = file_at(path)
    put_verified(store, layout.blob(file.digest), path, file)
    return file


def put_verified(store: Store, key: str, path: Path, file: File) -> None:
    """Store the bytes of `path`, whose digest is `file`, under `key`; other bytes there are replaced."""
    if has_intact(store, key, path, file):
        return
    try:
        store.put(key, path)
    except ExistsError:  # it is damaged, or another process has written it meanwhile
        if not has_intact(store, key, path, file):
            store.put(key, path, replace=True)


@contextmanager
def write_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`. It becomes `target`, atomically, unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return `value` as JSON that contains its own SHA-256. Raises `ValueError` for NaN and infinity."""
    return _seal(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def put_sealed(store: Store, key: str, value: Mapping[str, Any]) -> None:
    """Store `value` once as `sealed` writes it. A damaged object, as a power cut leaves it, counts as not written.

    Raises:
        ExistsError: The store holds an intact object under `key`.
        ValueError: `value` is not JSON (NaN, infinity).
    """
    data = sealed(value)
    try:
        store.put(key, data)
    except ExistsError:
        try:
            unsealed(key, store.get(key))
        except IntegrityError:
            store.put(key, data, replace=True)
        else:
            raise


def unsealed(key: str, data: bytes) -> dict[str, Any]:
    """Return the value that `sealed` wrote.

    The digest does not prove who wrote the bytes. So bytes that are not a JSON object, or that are nested too deeply,
    are refused too.

    Raises:
        IntegrityError: A byte is missing or changed, or it is not a JSON object. The message shows `key`.
    """
    body = data[_BODY:-1]
    if data != _seal(body):
        raise IntegrityError(f"{key} is damaged: its {len(data)} bytes do not match the SHA-256 that they contain")
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{key} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{key} is not a JSON object; it starts with {body[:20]!r}")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it has {constant}, which JSON does not have")


def _seal(body: bytes) -> bytes:
    return b'{"sha256":"%s","value":%s}' % (hashlib.sha256(body).hexdigest().encode(), body)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_BODY = len(_seal(b"")) - 1
