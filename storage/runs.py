"""Stage runs in a store: content-addressed blobs first, the manifest that names them last."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.base import Store


@dataclass(frozen=True)
class File:
    """One artifact of a stage run."""

    digest: str
    """SHA-256 in hex."""
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a finished stage run made. Written last: its existence means that the run is complete."""

    identity: str
    stage: str
    config: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, str]
    files: Mapping[str, File]
    metrics: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    info: Mapping[str, str]
    created: float
    seconds: float

    @property
    def digest(self) -> str:
        """One digest of all files, the run's content (not its time or place)."""
        raise NotImplementedError


class Artifacts:
    """Reads the artifacts of one finished stage run; every file is verified against its digest before it is used."""

    def __init__(self, store: Store, manifest: Manifest, *, cache: Path) -> None:
        raise NotImplementedError

    @property
    def manifest(self) -> Manifest:
        raise NotImplementedError

    def path(self, name: str) -> Path:
        """Return a local, verified file to read or memory-map. A local store gives its own file: all share one copy."""
        raise NotImplementedError

    def json(self, name: str) -> Any:
        """Return the parsed JSON of artifact `name`."""
        raise NotImplementedError


class Checkpoints:
    """The checkpoints of one unfinished stage run: a folder of safetensors and JSON for each epoch, manifest last."""

    def __init__(self, store: Store, identity: str, *, cache: Path) -> None:
        raise NotImplementedError

    def save(self, epoch: int, folder: Path) -> None:
        """Store all files of `folder` as the checkpoint of `epoch`, then remove older ones."""
        raise NotImplementedError

    def latest(self) -> tuple[int, Path] | None:
        """Return the newest complete, intact checkpoint: its epoch and a local folder, or None."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove all; called when the run is finished."""
        raise NotImplementedError


class RunStore:
    """Finished stage runs, by identity."""

    def __init__(self, store: Store, *, cache: Path) -> None:
        raise NotImplementedError

    def find(self, identity: str) -> Manifest | None:
        """Return the manifest of a finished run, or None; a damaged one counts as absent after a warning."""
        raise NotImplementedError

    def open(self, identity: str) -> Artifacts:
        """Return the artifacts of a finished run. Raises `NotFoundError`."""
        raise NotImplementedError

    def checkpoints(self, identity: str) -> Checkpoints:
        raise NotImplementedError

    def commit(self, manifest_without_files: Manifest, folder: Path) -> Manifest:
        """Store every file of `folder` as blobs, then the manifest; if another finished it first, theirs is returned."""
        raise NotImplementedError
