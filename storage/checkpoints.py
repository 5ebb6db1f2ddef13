"""Checkpoints of unfinished stage runs: the files of one epoch, then a manifest with their digests."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from storage import layout
from storage.base import Store
from storage.cache import Cache
from storage.content import File, file_at, files_in, sealed, unsealed
from storage.errors import IntegrityError, NotFoundError

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one unfinished stage run: a folder of safetensors and JSON for each epoch, manifest last.

    Written by one process at a time (the holder of the run).
    """

    def __init__(self, store: Store, identity: str, *, cache: Path) -> None:
        self._store = store
        self._identity = layout.checked(identity)
        self._cache = Cache(cache)
        self._copies = cache / layout.checkpoints(identity)

    def save(self, epoch: int, folder: Path) -> None:
        """Store all files of `folder` as the checkpoint of `epoch`, then remove older ones."""
        files = files_in(folder)
        if not files:
            raise ValueError(f"a checkpoint holds at least one file, but {folder} holds none")
        self._remove(epoch)
        for name, path in files.items():
            self._store.put(layout.checkpoint_file(self._identity, epoch, name), path, replace=True)
        described = {name: asdict(file_at(path)) for name, path in files.items()}
        manifest = {"identity": self._identity, "epoch": epoch, "files": described}
        self._store.put(layout.checkpoint_manifest(self._identity, epoch), sealed(manifest), replace=True)
        for other in self._epochs():
            if other < epoch:
                self._remove(other)

    def latest(self) -> tuple[int, Path] | None:
        """Return the newest complete, intact checkpoint: its epoch and a local folder to read only, or None.

        A local store gives its own folder, which the next `save` removes: load what is needed before.
        """
        for epoch in reversed(self._epochs()):
            try:
                return epoch, self._load(epoch)
            except NotFoundError:
                _log.info("the checkpoint of epoch %d of %s was not finished", epoch, self._identity)
            except IntegrityError as error:
                _log.warning("the checkpoint of epoch %d of %s is not used: %s", epoch, self._identity, error)
        return None

    def clear(self) -> None:
        """Remove all; called when the run is finished."""
        for epoch in self._epochs():
            self._remove(epoch)
        shutil.rmtree(self._copies, ignore_errors=True)

    def _load(self, epoch: int) -> Path:
        key = layout.checkpoint_manifest(self._identity, epoch)
        manifest = unsealed(key, self._store.get(key))
        files = {layout.checked_key(name): File(**file) for name, file in manifest["files"].items()}
        for name, file in files.items():
            key = layout.checkpoint_file(self._identity, epoch, name)
            try:
                path = self._cache.fetch(self._store, key, file)
            except NotFoundError as error:
                raise IntegrityError(f"{key} is missing") from error
        return path.parents[name.count("/")]

    def _epochs(self) -> tuple[int, ...]:
        """Return all epochs of which anything is stored, in order."""
        return tuple(dict.fromkeys(self._numbers()))

    def _numbers(self) -> Iterator[int]:
        prefix = layout.checkpoints(self._identity)
        for key in self._store.list(prefix):
            yield int(key.removeprefix(prefix).partition("/")[0])

    def _remove(self, epoch: int) -> None:
        """Remove one checkpoint, its manifest first: what is half removed must not look complete."""
        self._store.delete(layout.checkpoint_manifest(self._identity, epoch))
        for key in tuple(self._store.list(layout.checkpoint(self._identity, epoch))):
            self._store.delete(key)
        shutil.rmtree(self._copies / f"{epoch:06d}", ignore_errors=True)
