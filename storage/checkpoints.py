"""Checkpoints of unfinished stage runs. A checkpoint is the files of one epoch and a manifest with their digests.

The manifest also names the code that made it. Other code does not continue it: the result would belong to neither.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from storage import layout
from storage.base import Store
from storage.cache import Cache
from storage.content import described_files, file_at, files_in, sealed, unsealed
from storage.errors import IntegrityError, NotFoundError

_log = logging.getLogger(__name__)


def with_checkpoints(store: Store) -> frozenset[str]:
    """Return the identities of all stage runs that have checkpoints."""
    prefix = layout.all_checkpoints()
    return frozenset(key.removeprefix(prefix).partition("/")[0] for key in store.list(prefix))


class _OtherCodeError(Exception):
    """A checkpoint was made by other code."""


class Checkpoints:
    """The checkpoints of one unfinished stage run: a folder per epoch, whose manifest is written last.

    One process writes at a time: the holder of the stage run's lease.
    """

    def __init__(self, store: Store, identity: str, *, cache: Path, code: str = "") -> None:
        """Use the checkpoints of `identity` that were made by the code with the digest `code`."""
        self._store = store
        self._identity = layout.checked(identity)
        self._code = code
        self._cache = Cache(cache)
        self._copies = cache / layout.checkpoints(identity)

    def save(self, epoch: int, folder: Path, *, keep_older: bool = False) -> None:
        """Store all files of `folder` as the checkpoint of `epoch`, then remove older checkpoints.

        With `keep_older` they stay: for work whose finished parts need not be written again.

        Raises:
            ValueError: `folder` has no files.
        """
        files = files_in(folder)
        if not files:
            raise ValueError(f"{folder} has no files; a checkpoint needs at least one")
        self._remove(epoch)
        for name, path in files.items():
            self._store.put(layout.checkpoint_file(self._identity, epoch, name), path, replace=True)
        descriptions = {name: asdict(file_at(path)) for name, path in files.items()}
        manifest = {"identity": self._identity, "epoch": epoch, "code": self._code, "files": descriptions}
        self._store.put(layout.checkpoint_manifest(self._identity, epoch), sealed(manifest), replace=True)
        for stored_epoch in () if keep_older else self._epochs():
            if stored_epoch < epoch:
                self._remove(stored_epoch)

    def latest(self) -> tuple[int, Path] | None:
        """Return the epoch and the local folder of the newest checkpoint that can be continued, or None.

        It is complete, intact, and made by the same code.

        The folder is read-only. A local store returns its own folder, which the next `save` removes, so load the files
        before that.
        """
        return next(self._intact(reversed(self._epochs())), None)

    def stored(self) -> tuple[tuple[int, Path], ...]:
        """Return the epochs and folders of all checkpoints that can be continued, the oldest first."""
        return tuple(self._intact(self._epochs()))

    def _intact(self, epochs: Iterable[int]) -> Iterator[tuple[int, Path]]:
        for epoch in epochs:
            try:
                yield epoch, self._load(epoch)
            except NotFoundError:
                _log.info("checkpoint of epoch %d of %s is incomplete; it is not used", epoch, self._identity)
            except _OtherCodeError as error:
                _log.warning("checkpoint of epoch %d of %s is not continued: %s", epoch, self._identity, error)
            except IntegrityError as error:
                _log.warning(
                    "checkpoint of epoch %d of %s is damaged; it is not used: %s", epoch, self._identity, error
                )

    def clear(self) -> None:
        """Remove all checkpoints, after the stage run has finished."""
        for epoch in self._epochs():
            self._remove(epoch)
        shutil.rmtree(self._copies, ignore_errors=True)

    def _load(self, epoch: int) -> Path:
        key = layout.checkpoint_manifest(self._identity, epoch)
        manifest = unsealed(key, self._store.get(key))
        if (made := manifest.get("code", "")) != self._code:
            raise _OtherCodeError(f"it was made by other code ({made or 'of an earlier version'}, now {self._code})")
        files = described_files(manifest.get("files"))
        if not files:
            raise IntegrityError(f"{key} names no file")
        for name, file in files.items():
            key = layout.checkpoint_file(self._identity, epoch, name)
            try:
                path = self._cache.fetch(self._store, key, file)
            except NotFoundError as error:
                raise IntegrityError(f"{key} is missing") from error
        return path.parents[name.count("/")]

    def _epochs(self) -> tuple[int, ...]:
        """Return the epochs with stored files, in order."""
        return tuple(dict.fromkeys(self._numbers()))

    def _numbers(self) -> Iterator[int]:
        prefix = layout.checkpoints(self._identity)
        for key in self._store.list(prefix):
            if (number := key.removeprefix(prefix).partition("/")[0]).isdecimal():
                yield int(number)

    def _remove(self, epoch: int) -> None:
        """Remove one checkpoint, its manifest first, so that a partly removed one never looks complete."""
        self._store.delete(layout.checkpoint_manifest(self._identity, epoch))
        for key in tuple(self._store.list(layout.checkpoint(self._identity, epoch))):
            self._store.delete(key)
        shutil.rmtree(self._copies / f"{epoch:06d}", ignore_errors=True)
