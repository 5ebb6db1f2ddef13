"""Prepared data sets in a store: uploaded as they are, downloaded once per machine, verified, and mapped from there.

Planning downloads description, tables and card alone; clips and fMRI follow when a stage reads them.

The URI of a data set is that of its folder: `dataset.json` and all files lie below it as they do in a folder.
"""

import fcntl
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from storage.base import Store
from storage.content import File, fetch_verified, file_at, put_verified
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.layout import checked_key
from storage.uri import open_store
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import DESCRIPTION_FILE, Description, description_of, read_description
from trainables.datasets.prepared.digest import CARDS, content_files, digest_files, set_digest
from trainables.datasets.prepared.parts import Advance
from trainables.user_cache import user_cache

logger = logging.getLogger(__name__)

_TABLE = ".parquet"
_UPLOAD_AGAIN = "upload it again (`python -m platform.prepare upload`)"


def local_folder(location: str) -> Path:
    """Return the folder of a data set: `location` itself, or a verified copy of what a store holds.

    A copy lies in the user's cache folder (XDG_CACHE_HOME) under its digest. Each call asks the store which content it
    holds now.

    Raises:
        DatasetError: The store cannot be reached, or holds no data set, or one that is incomplete or damaged.
    """
    return _copied(location) if "://" in location else Path(location)


def local_tables(location: str) -> tuple[Path, bool]:
    """Return a folder with description, tables and card of a data set, and whether its arrays lie there, too.

    The arrays of a data set in a store are not downloaded.

    Raises:
        DatasetError: As `local_folder`, but for arrays.
    """
    if "://" not in location:
        return Path(location), True
    try:
        store = _store(location)
        about = _stored_description(store)
        if (_copies() / about.digest).is_dir():
            return _copies() / about.digest, True
        folder = _copies() / f".{about.digest}.tables"
        if not (folder / DESCRIPTION_FILE).is_file():
            with _alone(folder):
                _download_files(store, about, folder, [name for name in about.files if name.endswith(_TABLE)])
        return folder, False
    except (StoreError, ValueError, OSError) as error:
        raise _unusable(location, error) from error


def missing_files(uri: str, about: Description) -> list[DataProblem]:
    """Return which files of the data set are not in its store, or not with the size that dataset.json says.

    Raises:
        DatasetError: The store cannot be reached.
    """
    try:
        return [*_missing(_store(uri), about)]
    except StoreError as error:
        raise _unusable(uri, error) from error


def _missing(store: Store, about: Description) -> Iterator[DataProblem]:
    sizes = {entry.key: entry.size for entry in store.entries("")}
    for name, facts in about.files.items():
        if sizes.get(name) != facts.bytes:
            there = (
                f"has {sizes[name]:,} bytes, but dataset.json says {facts.bytes:,}" if name in sizes else "is missing"
            )
            yield DataProblem(f"{store.uri}/{name}", there, _UPLOAD_AGAIN)


def _copied(uri: str) -> Path:
    try:
        store = _store(uri)
        about = _stored_description(store)
        target = _copies() / about.digest
        if not target.is_dir():
            with _alone(target):
                _download(store, about, target)
    except (StoreError, ValueError, OSError) as error:
        raise _unusable(uri, error) from error
    return target


def _unusable(uri: str, error: Exception) -> DatasetError:
    if isinstance(error, DatasetError):
        return error
    right = _UPLOAD_AGAIN
    if not isinstance(error, NotFoundError | IntegrityError):
        right = "see that the store can be reached and that this machine has room"
    return DatasetError.of(DataProblem(uri, str(error), right))


def _stored_description(store: Store) -> Description:
    """Return the description of the data set that `store` holds. Raises `DatasetError` or `StoreError`."""
    uri = store.uri
    try:
        about = description_of(store.get(DESCRIPTION_FILE), f"{uri}/{DESCRIPTION_FILE}")
    except NotFoundError:
        right = "give the URI that `python -m platform.prepare upload DIR URI` was given"
        raise DatasetError.of(DataProblem(uri, f"holds no {DESCRIPTION_FILE}", right)) from None
    if not about.files or set_digest(about.files) != about.digest:
        what = "does not name its files and their digests"
        right = "upload the data set with `python -m platform.prepare upload DIR URI`"
        raise DatasetError.of(DataProblem(f"{uri}/{DESCRIPTION_FILE}", what, right))
    return about


@lru_cache(maxsize=8)
def _store(uri: str) -> Store:
    return open_store(uri)


def _copies() -> Path:
    return user_cache("datasets")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold a lock, so that one process of this machine downloads at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(store: Store, about: Description, target: Path) -> None:
    """Download what is missing into a hidden folder, which becomes `target` when it is complete."""
    if target.is_dir():
        return  # another process was faster
    partial = target.with_name(f".{target.name}.partial")
    _download_files(store, about, partial, list(about.files))
    partial.rename(target)


def _download_files(store: Store, about: Description, folder: Path, names: Sequence[str]) -> None:
    """Download what is missing of the files `names`, then the card, last the description."""
    total, done = sum(about.files[name].bytes for name in names), 0
    for name in names:
        facts = about.files[name]
        fetch_verified(store, checked_key(name), File(facts.sha256, facts.bytes), folder / name)
        done += facts.bytes
        logger.info("data set %s: %d of %d MB", about.name, done >> 20, total >> 20)
    for name in CARDS:
        if store.exists(name):
            store.fetch(name, folder / name)
    store.fetch(DESCRIPTION_FILE, folder / DESCRIPTION_FILE)
    if read_description(folder).digest != about.digest:
        shutil.rmtree(folder)
        raise IntegrityError(f"{DESCRIPTION_FILE} was replaced while the data set was downloaded")


def bytes_to_send(folder: Path) -> int:
    """Return how many bytes `upload` sends if the store holds none of them."""
    return sum((folder / name).stat().st_size for name in _names(folder))


def _names(folder: Path) -> list[str]:
    return [*content_files(folder), *(card for card in CARDS if (folder / card).exists())]


def upload(folder: Path, uri: str, advance: Advance = lambda count: None) -> str:
    """Put the data set in `folder`, which was checked before, into a store, and return its digest.

    What the store holds already is not sent again. `dataset.json` comes last, so that an interrupted upload is no data
    set; the same command continues it.

    Raises:
        DatasetError: `folder` is no data set, or a file has a name that cannot be a key.
        StoreError: The store cannot be reached.
    """
    about = read_description(folder)
    if not about.files:
        files = digest_files(folder)
        about = about.model_copy(update={"files": files, "digest": set_digest(files)})
    store = open_store(uri)
    for name in _names(folder):
        put_verified(store, name, folder / name, file_at(folder / name))
        advance((folder / name).stat().st_size)
    store.put(DESCRIPTION_FILE, about.model_dump_json(indent=1).encode(), replace=True)
    return about.digest
