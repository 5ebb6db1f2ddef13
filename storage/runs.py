"""Stage runs in a store: the artifacts as content-addressed blobs, then the manifest that lists them."""

import difflib
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from storage import layout
from storage.base import Store
from storage.cache import Cache
from storage.checkpoints import Checkpoints
from storage.content import File, described_files, files_in, put_blob, sealed, unsealed
from storage.errors import ExistsError, IntegrityError, NotFoundError
from storage.parallel import ordered
from storage.typed import check_fields

__all__ = ["Artifacts", "Checkpoints", "File", "Manifest", "RunStore"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """The description of a finished stage run. It is written last, so if it exists, the stage run is complete."""

    identity: str
    stage: str
    config: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, str]
    files: Mapping[str, File]
    metrics: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    info: Mapping[str, str]
    """Facts and environment (device, versions of Python and torch), for readers; never compared."""
    created: float
    seconds: float

    @property
    def digest(self) -> str:
        """The digest of the names and contents of all files; independent of time and machine."""
        named = [f"{file.digest}  {name}\n" for name, file in sorted(self.files.items())]
        return hashlib.sha256("".join(named).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return {**asdict(self), "history": [dict(row) for row in self.history]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Manifest":
        """Return the manifest that `to_json` described.

        Raises:
            IntegrityError: It is none.
        """
        try:
            values = {**value, "files": described_files(value["files"]), "history": tuple(value["history"])}
        except (TypeError, KeyError) as error:
            raise IntegrityError(f"this is not a manifest ({type(error).__name__}: {error})") from error
        check_fields(cls, values)
        return cls(**values)

    def require_same_run(self, other: "Manifest") -> None:
        """Raise `IntegrityError` with a diff if `other`, of the same identity, has another config, seed or inputs."""
        stored, wanted = (
            json.dumps(
                {"stage": m.stage, "seed": m.seed, "config": m.config, "inputs": m.inputs}, indent=1, sort_keys=True
            )
            for m in (self, other)
        )
        if stored != wanted:
            diff = difflib.unified_diff(stored.splitlines(), wanted.splitlines(), "stored", "wanted", n=1, lineterm="")
            raise IntegrityError(f"two configs share the identity {self.identity}:\n" + "\n".join(diff))


class Artifacts:
    """The artifacts of a finished stage run. Every file is verified against its digest before it is used."""

    def __init__(self, store: Store, manifest: Manifest, *, cache: Cache) -> None:
        self._store = store
        self._manifest = manifest
        self._cache = cache

    @property
    def manifest(self) -> Manifest:
        """The manifest of the stage run."""
        return self._manifest

    def path(self, name: str) -> Path:
        """Return a local, verified file to read or memory-map. A local store returns its own file, without a copy.

        Raises:
            NotFoundError: There is no such artifact.
            IntegrityError: The content does not match the digest.
        """
        file = self._manifest.files.get(name)
        if file is None:
            names = ", ".join(sorted(self._manifest.files))
            raise NotFoundError(f"{self._manifest.identity} has no artifact {name!r}; it has: {names}")
        key = layout.blob(file.digest)
        return self._cache.fetch(self._store, key, file)

    def json(self, name: str) -> Any:
        """Return the parsed JSON of artifact `name`."""
        return json.loads(self.path(name).read_bytes())


def read_manifest(store: Store, key: str) -> Manifest:
    """Return the manifest stored under `key`. Raises `NotFoundError`, or `IntegrityError` for an invalid manifest."""
    try:
        return Manifest.from_json(unsealed(key, store.get(key)))
    except IntegrityError as error:
        raise IntegrityError(f"{key} is not a manifest: {error}") from error


class RunStore:
    """The finished stage runs of a store, by identity.

    Example:
        >>> from storage.memory import MemoryStore
        >>> runs = RunStore(MemoryStore(), cache=folder)  # folder: Path
        >>> runs.find("noop-0123") is None
        True
    """

    def __init__(self, store: Store, *, cache: Path) -> None:
        self._store = store
        self._folder = cache
        self._cache = Cache(cache)

    @property
    def store(self) -> Store:
        """The store that holds them."""
        return self._store

    def find(self, identity: str, *, deep: bool = False) -> Manifest | None:
        """Return the manifest of a finished run, or None. For a damaged run, a warning is logged and None is returned.

        Checks that every blob exists with the right size. If `deep`, also checks its content, once per process and
        file; remote blobs are downloaded for this. Use `deep` before a run becomes an input: a damaged run is then
        executed again, and `commit` replaces the damaged blobs.
        """
        return self._find(identity, deep=deep)

    def _find(self, identity: str, *, deep: bool, sound: frozenset[File] = frozenset()) -> Manifest | None:
        """Return what `find` returns. The blobs `sound` were verified just now."""
        try:
            manifest = self._manifest(identity)
            if manifest is None:
                return None
            if damages := self._damages(manifest, deep=deep, sound=sound):
                raise IntegrityError("; ".join(damages))
        except IntegrityError as error:
            _log.warning("the stored run %s is damaged and not used: %s", identity, error)
            return None
        return manifest

    def examine(self, identity: str) -> tuple[Manifest | None, tuple[str, ...]]:
        """Return the manifest, if it is readable, and all damages of the run. Every byte is checked."""
        try:
            manifest = self._manifest(identity)
        except IntegrityError as error:
            return None, (str(error),)
        return manifest, () if manifest is None else tuple(self._damages(manifest, deep=True))

    def open(self, identity: str) -> Artifacts:
        """Return the artifacts of a finished run. Raises `NotFoundError` if there is no such intact run."""
        manifest = self.find(identity)
        if manifest is None:
            raise NotFoundError(f"{self._store.uri} has no finished, intact run {identity}")
        return Artifacts(self._store, manifest, cache=self._cache)

    def checkpoints(self, identity: str, *, code: str = "") -> Checkpoints:
        """Return the checkpoints of an unfinished run; those of code with another digest than `code` are not read."""
        return Checkpoints(self._store, identity, cache=self._folder, code=code)

    def commit(self, manifest_without_files: Manifest, folder: Path) -> Manifest:
        """Store every file of `folder` as a blob, then the manifest. If the run is already stored, return its manifest.

        A damaged manifest or blob with the same identity is replaced.

        Raises:
            IntegrityError: The stored run has another config; the message shows a diff.
            ValueError: A metric or the config is not JSON (NaN, infinity).
        """
        paths = files_in(folder)
        sealed(manifest_without_files.to_json())  # raises for invalid JSON before any blob is written
        # In parallel: files are hashed while others are uploaded.
        files = tuple(ordered(partial(put_blob, self._store), paths.values(), self._store.concurrency))
        manifest = replace(manifest_without_files, files=dict(zip(paths, files, strict=True)))
        data = sealed(manifest.to_json())
        key = layout.manifest(manifest.identity)
        try:
            self._store.put(key, data)
        except ExistsError:
            stored = self._find(manifest.identity, deep=True, sound=frozenset(files))
            if stored is not None:
                stored.require_same_run(manifest)
                return stored
            self._store.put(key, data, replace=True)
        return manifest

    def _manifest(self, identity: str) -> Manifest | None:
        key = layout.manifest(identity)
        try:
            manifest = read_manifest(self._store, key)
        except NotFoundError:
            return None
        if manifest.identity != identity:
            raise IntegrityError(f"{key} is the manifest of {manifest.identity}, not of {identity}")
        return manifest

    def _damages(self, manifest: Manifest, *, deep: bool, sound: frozenset[File] = frozenset()) -> list[str]:
        """Return the damages of the manifest's blobs, except those of `sound`, each with the artifact's name."""
        files = sorted((name, file) for name, file in manifest.files.items() if file not in sound)
        damages = ordered(lambda entry: self._damage(entry[1], deep=deep), files, self._store.concurrency)
        return [f"{name}: {damage}" for (name, _), damage in zip(files, damages, strict=True) if damage is not None]

    def _damage(self, file: File, *, deep: bool) -> str | None:
        key = layout.blob(file.digest)
        try:
            if deep:
                self._cache.fetch(self._store, key, file)
            elif (size := self._store.size(key)) != file.size:
                return f"{key} has {size} bytes, expected {file.size}"
        except NotFoundError:
            return f"{key} is missing"
        except IntegrityError as error:
            return str(error)
        return None
