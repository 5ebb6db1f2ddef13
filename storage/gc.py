"""`python -m storage.gc URI`: remove objects that nothing refers to and that no process is still writing.

Garbage is: blobs that no manifest names, checkpoints of finished stage runs, and files of interrupted writes (parts of
uploads, temporary files, probes). Finished stage runs that no study names, and checkpoints that no unfinished trial
needs, are listed. With `--runs` they are removed, together with the blobs that only these stage runs need.

Objects younger than `--min-age` stay, so a running study loses nothing: its blobs get their manifest within minutes. If
a stage run finishes during the removal with an older blob that nothing else needs, its next reader finds the blob
missing and the stage run is repeated.
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
from storage.checkpoints import with_checkpoints
from storage.content import unsealed
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.parallel import ordered
from storage.runs import Manifest, read_manifest
from storage.uri import open_store

_HOUR = 3600.0
_NAMES = re.compile(rb"[a-z0-9_]+-[0-9a-f]{16}|[0-9a-f]{64}")  # identities and digests, anywhere in a record


@dataclass(frozen=True)
class Garbage:
    """An object of the store that can be removed."""

    kind: str
    name: str
    size: int
    """In bytes."""
    age: float
    """In seconds."""
    remove: Callable[[], None]
    is_kept: bool = False
    """Whether it is only listed, not removed."""


@dataclass(frozen=True)
class Contents:
    """The contents of a store that decide what is needed."""

    blobs: Sequence[Entry]
    runs: Mapping[str, tuple[Entry, Manifest]]
    """Finished stage runs by identity."""
    named: frozenset[str]
    """Identities and digests in the records of studies."""
    unfinished: frozenset[str]
    """Those in the records of trials that have not ended."""

    @property
    def unnamed(self) -> frozenset[str]:
        """Identities of finished stage runs that no study names, not even as an input of another stage run."""
        named: set[str] = set()
        waiting = [identity for identity in self.named if identity in self.runs]
        while waiting:
            identity = waiting.pop()
            if identity in self.runs and identity not in named:
                named.add(identity)
                waiting += self.runs[identity][1].inputs.values()
        return frozenset(self.runs) - named


def read_contents(store: Store) -> Contents:
    """Read all manifests and records.

    Raises:
        IntegrityError: A manifest is damaged, so the blobs that it needs are unknown.
    """
    blobs = tuple(
        store.entries(layout.blobs())
    )  # first, so that a blob whose manifest is written meanwhile counts as needed
    entries = [entry for entry in store.entries(layout.stages()) if entry.key.endswith("/manifest.json")]
    manifests = ordered(lambda entry: _manifest(store, entry.key), entries, store.concurrency)
    runs = {
        manifest.identity: (entry, manifest)
        for entry, manifest in zip(entries, manifests, strict=True)
        if manifest is not None
    }
    records = [key for key in store.list(layout.studies()) if key.endswith(".json")]
    texts = ordered(lambda key: _text(store, key), records, store.concurrency)
    return Contents(blobs, runs, *_named(zip(records, texts, strict=True)))


def _named(records: Iterable[tuple[str, bytes]]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names in all records, and those in records other than of ended trials. The keys are in order."""
    named: set[str] = set()
    unfinished: set[str] = set()
    for _, group in groupby(records, key=lambda record: record[0].rpartition("/")[0]):
        names, ended = set[str](), False
        for key, text in group:
            names.update(name.decode() for name in _NAMES.findall(text))
            ended = _ends_trial(key, text)
        named |= names
        if not ended:
            unfinished |= names
    return frozenset(named), frozenset(unfinished)


def _ends_trial(key: str, text: bytes) -> bool:
    """Return whether a record is the event that ends a trial. A trial that is started again has a later event."""
    try:
        return unsealed(key, text).get("kind") == "finished"
    except IntegrityError:
        return False


def find_garbage(store: Store, contents: Contents, *, min_age: float, runs: bool = False) -> list[Garbage]:
    """Return the objects that nothing needs and that are older than `min_age` seconds, in the order of removal.

    Finished stage runs that no study names are included for removal with `runs`, otherwise only for the list.
    """
    unnamed = [contents.runs[identity][0] for identity in sorted(contents.unnamed)]
    leaving = {entry.key for entry in unnamed if runs and entry.age >= min_age}
    needed = [manifest for entry, manifest in contents.runs.values() if entry.key not in leaving]
    used = contents.named | {file.digest for manifest in needed for file in manifest.files.values()}
    unused = (blob for blob in contents.blobs if blob.key.rpartition("/")[2] not in used)
    is_orphan = frozenset(with_checkpoints(store) - contents.runs.keys() - contents.unfinished).__contains__
    items = [
        *_keys(store, "stage run that no study names", unnamed, is_kept=not runs),
        *_keys(store, "blob without a manifest", unused),
        *_keys(store, "checkpoint of a finished stage run", _checkpoints(store, contents.runs.__contains__)),
        *_keys(store, "checkpoint that no unfinished trial needs", _checkpoints(store, is_orphan), is_kept=not runs),
        *_keys(store, "probe", store.entries("probes/")),
        *(Garbage("unfinished write", left.name, left.size, left.age, left.remove) for left in store.leftovers()),
    ]
    return [item for item in items if item.age >= min_age]


def _keys(store: Store, kind: str, entries: Iterable[Entry], *, is_kept: bool = False) -> Iterator[Garbage]:
    for entry in entries:
        yield Garbage(kind, entry.key, entry.size, entry.age, partial(store.delete, entry.key), is_kept)


def _checkpoints(store: Store, chosen: Callable[[str], bool]) -> Iterator[Entry]:
    """Yield the checkpoints of the `chosen` identities, manifests first, so that a partly removed one is never read."""
    for identity, group in groupby(store.entries(layout.all_checkpoints()), key=lambda entry: entry.key.split("/")[1]):
        if chosen(identity):
            yield from sorted(group, key=lambda entry: "/files/" in entry.key)


def _manifest(store: Store, key: str) -> Manifest | None:
    """Return the manifest under `key`; None if it was removed after the listing."""
    try:
        return read_manifest(store, key)
    except NotFoundError:
        return None


def _text(store: Store, key: str) -> bytes:
    """Return the bytes of a record, even of a damaged one; empty if it was removed after the listing."""
    try:
        return store.get(key)
    except NotFoundError:
        return b""


def _report(console: Console, items: Sequence[Garbage]) -> None:
    for item in items:
        line = f"{item.name}: {item.kind}, {decimal(item.size)}, {item.age / _HOUR:.0f} h old"
        console.print(f"{line}; kept" if item.is_kept else line, markup=False)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m storage.gc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri", metavar="URI", help="such as file:///data/runs/store or s3://bucket/prefix")
    parser.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    parser.add_argument("--runs", action="store_true", help="also remove what is kept: see above")
    parser.add_argument(
        "--min-age", type=float, default=24.0, metavar="HOURS", help="keep everything younger than this (default: 24)"
    )
    parsed = parser.parse_args(arguments)
    if not parsed.min_age >= 0:
        parser.error(f"--min-age is {parsed.min_age}; it must be a number of hours, at least 0")
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Find, list and remove garbage. Return 0, or 2 if the store cannot be read or a manifest is damaged."""
    given = _arguments(arguments)
    console, progress = Console(soft_wrap=True, highlight=False), Console(stderr=True)
    try:
        store = open_store(given.uri)
        with progress.status("Reading manifests and records"):
            if next(store.list(""), None) is None:
                raise NotFoundError(f"{store.uri} holds nothing")
            items = find_garbage(store, read_contents(store), min_age=given.min_age * _HOUR, runs=given.runs)
        _report(console, items)
        removable = [item for item in items if not item.is_kept]
        if not given.dry_run:
            removing = ordered(lambda item: item.remove(), removable, store.concurrency)
            shown = progress.is_terminal
            for _ in track(
                removing, "Removing", total=len(removable), console=progress, transient=True, disable=not shown
            ):
                pass
    except IntegrityError as error:
        progress.print(f"error: {error}; see python -m storage.verify", style="red", soft_wrap=True, markup=False)
        return 2
    except (ValueError, StoreError) as error:
        progress.print(f"error: {error}", style="red", soft_wrap=True, markup=False)
        return 2
    verb = "would be removed" if given.dry_run else "removed"
    size = decimal(sum(item.size for item in removable))
    kept = len(items) - len(removable)
    console.print(f"{store.uri}: {len(removable)} {verb} ({size}), {kept} kept, which --runs removes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
