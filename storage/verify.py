"""`python -m storage.verify URI`: read everything in a store again and name all that is damaged."""

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
from storage.content import File, file_at, unsealed
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.parallel import ordered
from storage.runs import Manifest
from storage.uri import open_store


@dataclass(frozen=True)
class Damage:
    """One key that does not hold what it should, and what is wrong with it."""

    key: str
    what: str


def promises(store: Store, keys: Sequence[str]) -> tuple[dict[str, File], list[Damage]]:
    """Read every sealed JSON object; return which files manifests and blob names promise, and the damaged objects."""
    promised = {key: File(key.rpartition("/")[2], 0) for key in keys if key.startswith(layout.blobs())}
    damages = []
    documents = [key for key in keys if _is_document(key)]
    for found in ordered(lambda key: _promised(store, key), documents, store.concurrency):
        if isinstance(found, Damage):
            damages.append(found)
        else:
            promised |= found
    return promised, damages


def check(store: Store, key: str, promised: File) -> Damage | None:
    """Hash one object anew, without keeping a copy of a remote one."""
    with tempfile.TemporaryDirectory(prefix="mindsweep-verify-") as folder:
        try:
            got = file_at(store.fetch(key, Path(folder) / "object"))
        except NotFoundError:
            return Damage(key, "missing")
    if got.digest == promised.digest:
        return None
    if got.size < promised.size:
        return Damage(key, f"truncated: {got.size} of {promised.size} bytes")
    return Damage(key, f"changed: expected SHA-256 {promised.digest}, got {got.digest}")


def event_gaps(keys: Sequence[str]) -> Iterator[Damage]:
    """Yield the events that are missing although later ones of their trial are there."""
    last: dict[str, int] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        if key.startswith(layout.studies()) and "/events/" in key:
            sequence = int(Path(name).stem)
            for missing in range(last.get(folder, -1) + 1, sequence):
                yield Damage(f"{folder}/{missing:06d}.json", "missing, though later events are there")
            last[folder] = sequence


def _is_document(key: str) -> bool:
    """Tell whether a key holds sealed JSON: not blobs, not leases (replaced all the time), not a checkpoint's files."""
    in_checkpoint = key.startswith("checkpoints/") and "/files/" in key
    return key.endswith(".json") and not in_checkpoint and not key.startswith("leases/")


def _promised(store: Store, key: str) -> dict[str, File] | Damage:
    """Return the files that one JSON object promises, by key; events and definitions promise none."""
    try:
        value = unsealed(key, store.get(key))
        if key.startswith(layout.stages()):
            return {layout.blob(file.digest): file for file in Manifest.from_json(value).files.values()}
        if key.startswith("checkpoints/"):
            folder = key.removesuffix("manifest.json")
            return {f"{folder}files/{layout.checked_key(name)}": File(**file) for name, file in value["files"].items()}
    except (IntegrityError, TypeError, ValueError, KeyError, AttributeError) as error:
        return Damage(key, f"half-written or changed: {error}")
    return {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify and report; return 0 if all is intact, 1 if anything is damaged, 2 if nothing could be checked."""
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
        checks = ordered(lambda entry: check(store, *entry), sorted(promised.items()), workers)
        for damage in track(
            checks, "Hashing", total=len(promised), console=progress, transient=True, disable=not progress.is_terminal
        ):
            damages += [damage] if damage is not None else []
    except (ValueError, StoreError) as error:
        progress.print(f"error: {error}", style="red", soft_wrap=True, markup=False)
        return 2
    damages += event_gaps(keys)
    for found in damages:
        console.print(f"{found.key}: {found.what}", style="red", markup=False)
    console.print(f"{store.uri}: {len(keys)} objects, {len(promised)} files hashed, {len(damages)} damaged")
    return 1 if damages else 0


if __name__ == "__main__":
    sys.exit(main())
