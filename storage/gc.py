"""`python -m storage.gc URI`: remove what nothing refers to, and nothing that anybody may still be writing.

Garbage is: blobs that no manifest names, checkpoints of stage runs that are finished, and what interrupted writers left
(parts of uploads, temporary files, probes). Finished stage runs that no study's record names are listed, and removed
with `--runs` together with the blobs that only they need. Nothing younger than `--min-age` is touched, so a running
study loses nothing: its blobs wait for their manifest for minutes. Should a run be finished at this very moment with an
older blob that nothing else needs, its next reader finds the blob missing and the stage run is done again.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from rich.console import Console
from rich.filesize import decimal
from rich.progress import track

from storage import layout
from storage.base import Entry, Store
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.parallel import ordered
from storage.runs import Manifest, read_manifest
from storage.uri import open_store

_HOUR = 3600.0
_NAMES = re.compile(rb"[a-z0-9_]+-[0-9a-f]{16}|[0-9a-f]{64}")  # identities and digests, wherever a record has them


@dataclass(frozen=True)
class Garbage:
    """One thing that can go."""

    kind: str
    name: str
    size: int
    """In bytes."""
    age: float
    """In seconds."""
    remove: Callable[[], None]
    is_kept: bool = False
    """Whether it is only told, not removed."""


@dataclass(frozen=True)
class Contents:
    """What a store holds, as far as it tells what is needed."""

    blobs: Sequence[Entry]
    runs: Mapping[str, tuple[Entry, Manifest]]
    """Finished stage runs by identity."""
    named: frozenset[str]
    """Identities and digests that the records of studies name."""

    @property
    def unnamed(self) -> frozenset[str]:
        """The identities of finished stage runs that no study's record names, not even as an input of another."""
        named: set[str] = set()
        waiting = [identity for identity in self.named if identity in self.runs]
        while waiting:
            identity = waiting.pop()
            if identity in self.runs and identity not in named:
                named.add(identity)
                waiting += self.runs[identity][1].inputs.values()
        return frozenset(self.runs) - named


def contents(store: Store) -> Contents:
    """Read all manifests and records. Raises `IntegrityError` for a damaged manifest: what it needs is not known."""
    blobs = tuple(store.entries(layout.blobs()))  # first: a blob whose manifest comes while we read is seen as needed
    found = [entry for entry in store.entries(layout.stages()) if entry.key.endswith("/manifest.json")]
    manifests = ordered(lambda entry: _manifest(store, entry.key), found, store.concurrency)
    runs = {read.identity: (entry, read) for entry, read in zip(found, manifests, strict=True) if read is not None}
    records = [key for key in store.list(layout.studies()) if key.endswith(".json")]
    named: set[str] = set()
    for text in ordered(lambda key: _text(store, key), records, store.concurrency):
        named.update(name.decode() for name in _NAMES.findall(text))
    return Contents(blobs, runs, frozenset(named))


def garbage(store: Store, held: Contents, *, min_age: float, runs: bool = False) -> list[Garbage]:
    """Return what nothing needs and is older than `min_age` seconds, in the order in which to remove it.

    With `runs`, finished stage runs that no study names are removed too, else they are only told.
    """
    unnamed = [held.runs[identity][0] for identity in sorted(held.unnamed)]
    leaving = {entry.key for entry in unnamed if runs and entry.age >= min_age}
    needed = [manifest for entry, manifest in held.runs.values() if entry.key not in leaving]
    used = held.named | {file.digest for manifest in needed for file in manifest.files.values()}
    unused = (blob for blob in held.blobs if blob.key.rpartition("/")[2] not in used)
    found = [
        *_keys(store, "stage run that no study names", unnamed, is_kept=not runs),
        *_keys(store, "blob without a manifest", unused),
        *_keys(store, "checkpoint of a finished stage run", _outlived(store, held)),
        *_keys(store, "probe", store.entries("probes/")),
        *(Garbage("unfinished write", left.name, left.size, left.age, left.remove) for left in store.leftovers()),
    ]
    return [item for item in found if item.age >= min_age]


def _keys(store: Store, kind: str, entries: Iterable[Entry], *, is_kept: bool = False) -> Iterator[Garbage]:
    for entry in entries:
        yield Garbage(kind, entry.key, entry.size, entry.age, partial(store.delete, entry.key), is_kept)


def _outlived(store: Store, held: Contents) -> Iterator[Entry]:
    """Yield the checkpoints of stage runs that are finished; of each its manifests first, so that none looks whole."""
    for identity, group in groupby(store.entries("checkpoints/"), key=lambda entry: entry.key.split("/")[1]):
        if identity in held.runs:
            yield from sorted(group, key=lambda entry: "/files/" in entry.key)


def _manifest(store: Store, key: str) -> Manifest | None:
    """Return the manifest under `key`; None if it is gone since it was listed."""
    try:
        return read_manifest(store, key)
    except NotFoundError:
        return None


def _text(store: Store, key: str) -> bytes:
    """Return a record as it is, damaged or not: what it names is needed. Empty if it is gone since it was listed."""
    try:
        return store.get(key)
    except NotFoundError:
        return b""


def _report(console: Console, found: Sequence[Garbage]) -> None:
    for item in found:
        told = f"{item.name}: {item.kind}, {decimal(item.size)}, {item.age / _HOUR:.0f} h old"
        console.print(f"{told}; kept" if item.is_kept else told, markup=False)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m storage.gc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri", metavar="URI", help="such as file:///data/runs/store or s3://bucket/prefix")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    parser.add_argument("--runs", action="store_true", help="also remove finished stage runs that no study names")
    parser.add_argument("--min-age", type=float, default=24.0, metavar="HOURS", help="touch nothing younger (24)")
    given = parser.parse_args(arguments)
    if not given.min_age >= 0:
        parser.error(f"--min-age must be a number of hours from 0 up, but got {given.min_age}")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Find, report and remove; return 0, or 2 if the store cannot be read or holds a damaged manifest."""
    given = _arguments(arguments)
    console, progress = Console(soft_wrap=True, highlight=False), Console(stderr=True)
    try:
        store = open_store(given.uri)
        with progress.status("Reading manifests and records"):
            if next(store.list(""), None) is None:
                raise NotFoundError(f"{store.uri} holds nothing")
            found = garbage(store, contents(store), min_age=given.min_age * _HOUR, runs=given.runs)
        _report(console, found)
        going = [item for item in found if not item.is_kept]
        if not given.dry_run:
            removing = ordered(lambda item: item.remove(), going, store.concurrency)
            shown = progress.is_terminal
            for _ in track(removing, "Removing", total=len(going), console=progress, transient=True, disable=not shown):
                pass
    except IntegrityError as error:
        progress.print(f"error: {error}; see python -m storage.verify", style="red", soft_wrap=True, markup=False)
        return 2
    except (ValueError, StoreError) as error:
        progress.print(f"error: {error}", style="red", soft_wrap=True, markup=False)
        return 2
    verb = "would be removed" if given.dry_run else "removed"
    size = decimal(sum(item.size for item in going))
    kept = len(found) - len(going)
    console.print(f"{store.uri}: {len(going)} {verb} ({size}), {kept} stage runs that no study names kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
