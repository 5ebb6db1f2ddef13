"""`python -m storage.verify URI`: read all objects of a store and list those that are damaged."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from storage import layout
from storage.base import Store
from storage.content import File, described_files, file_at, unsealed
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.formats import check_format
from storage.parallel import ordered
from storage.runs import Manifest
from storage.uri import open_store


@dataclass(frozen=True)
class Damage:
    """A damaged object."""

    key: str
    what: str
    """What is wrong with it."""


@dataclass(frozen=True)
class Promise:
    """The file that a key must hold."""

    file: File
    name: str = ""
    """Its name in a manifest; empty for a blob that no manifest names."""


def promises(store: Store, keys: Sequence[str]) -> tuple[dict[str, Promise], list[Damage]]:
    """Read all manifests, events and definitions. Return the promised files by key, and the damaged objects."""
    promised = {key: Promise(File(key.rpartition("/")[2], 0)) for key in keys if key.startswith(layout.blobs())}
    damages = []
    documents = [key for key in keys if _is_document(key)]
    for outcome in ordered(lambda key: _promised(store, key), documents, store.concurrency):
        if isinstance(outcome, Damage):
            damages.append(outcome)
        else:
            promised |= outcome
    return promised, damages


def check_object(store: Store, key: str, promised: Promise) -> Damage | None:
    """Hash one object and check its format; None if it is intact. Keeps no copy of a remote object."""
    with tempfile.TemporaryDirectory(prefix="mindsweep-verify-") as folder:
        try:
            path = store.fetch(key, Path(folder) / "object")
            actual = file_at(path)
            if actual.digest == promised.file.digest:
                check_format(path, promised.name)
                return None
        except IntegrityError as error:
            return Damage(key, str(error))
        except NotFoundError:
            return None if _is_outdated(store, key) else Damage(key, "missing")
    if actual.size < promised.file.size:
        return Damage(key, f"truncated: {actual.size} of {promised.file.size} bytes")
    return Damage(key, f"changed: expected SHA-256 {promised.file.digest}, got {actual.digest}")


def _is_outdated(store: Store, key: str) -> bool:
    """Return whether a running study has removed the checkpoint of this file after its manifest was read."""
    checkpoint, files, _ = key.partition("/files/")
    return bool(files) and not store.exists(f"{checkpoint}/manifest.json")


def event_gaps(keys: Sequence[str]) -> Iterator[Damage]:
    """Yield the missing events of trials that have later events."""
    last: dict[str, int] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        if key.startswith(layout.studies()) and "/events/" in key:
            sequence = int(Path(name).stem)
            for missing in range(last.get(folder, -1) + 1, sequence):
                yield Damage(f"{folder}/{missing:06d}.json", "missing, although later events exist")
            last[folder] = sequence


def _is_document(key: str) -> bool:
    """Return whether a key holds JSON with a digest: not a blob, lease, heartbeat or file of a checkpoint."""
    in_checkpoint = key.startswith("checkpoints/") and "/files/" in key
    return key.endswith(".json") and not in_checkpoint and not key.startswith("leases/") and "/pulses/" not in key


def _promised(store: Store, key: str) -> dict[str, Promise] | Damage:
    """Return the files that a manifest promises, by key; none for events and definitions."""
    try:
        value = unsealed(key, store.get(key))
        if key.startswith(layout.stages()):
            files = Manifest.from_json(value).files
            return {layout.blob(file.digest): Promise(file, name) for name, file in files.items()}
        if key.startswith("checkpoints/"):
            folder = key.removesuffix("manifest.json")
            return {
                f"{folder}files/{name}": Promise(file, name)
                for name, file in described_files(value.get("files")).items()
            }
    except NotFoundError:
        return {}  # a running study removed it after the listing
    except IntegrityError as error:
        return Damage(key, f"incomplete or changed: {error}")
    return {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the store and print the damage. Return 0 if all is intact, 1 if not, 2 if the store is unreadable."""
    parser = argparse.ArgumentParser(prog="python -m storage.verify", description=__doc__)
    parser.add_argument("uri", metavar="URI", help="such as file:///data/runs/store or s3://bucket/prefix")
    uri = parser.parse_args(arguments).uri
    console, progress = Console(soft_wrap=True, highlight=False), Console(stderr=True)
    try:
        store = open_store(uri)
        keys = tuple(store.list(""))
        if not keys:
            raise NotFoundError(f"{store.uri} holds nothing")
        promised, damages = promises(store, keys)
        workers = max(store.concurrency, os.cpu_count() or 1)
        checks = ordered(lambda entry: check_object(store, *entry), sorted(promised.items()), workers)
        for checked in track(
            checks, "Hashing", total=len(promised), console=progress, transient=True, disable=not progress.is_terminal
        ):
            damages += [checked] if checked is not None else []
    except (ValueError, StoreError) as error:
        progress.print(f"error: {error}", style="red", soft_wrap=True, markup=False)
        return 2
    damages += event_gaps(keys)
    for damage in damages:
        console.print(f"{damage.key}: {damage.what}", style="red", markup=False)
    console.print(f"{store.uri}: {len(keys)} objects, {len(promised)} files hashed, {len(damages)} damaged")
    return 1 if damages else 0


if __name__ == "__main__":
    sys.exit(main())
