"""Checks an untrusted bundle and imports its study into a store.

All names are checked before a file is opened, and all files before an object is written. The study's definition is
written last, so commands do not see an incomplete study. An interrupted import can be repeated.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.bundle.writing import CHECKSUMS, STORE
from platform.errors import UserError
from platform.events import TrialEvent
from platform.record.tables import rewrite_tables
from storage import layout
from storage.base import Store
from storage.content import File, file_at, unsealed
from storage.errors import ExistsError, IntegrityError, LeaseHeldError
from storage.formats import check_format
from storage.lease import Lease
from storage.parallel import ordered
from storage.runs import Manifest, RunStore
from trainables.datasets.errors import some

_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\x00-\x1f\x7f]{1,1000})")
_NUMBERED = re.compile(r"[0-9]{6}\.json")
_INVALID = (IntegrityError, AssertionError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""Errors of readers about content of another form."""
_SHOWN = 5
_LARGEST_LIST = 1 << 28
_LARGEST_DOCUMENT = 1 << 28


@dataclass(frozen=True)
class Bundle:
    """A checked bundle."""

    folder: Path
    study: str
    keys: tuple[str, ...]
    """The keys of its store: blobs, manifests, then records, the study's definition last."""

    def path(self, key: str) -> Path:
        """Return the file of `key`."""
        return self.folder / STORE / key


def checked_bundle(folder: Path) -> Bundle:
    """Check a whole bundle and return it. Raises `UserError` if files are missing, changed or not valid."""
    if not folder.is_dir() or not (folder / CHECKSUMS).is_file():
        raise UserError(f"{folder} is not a bundle: it must be a folder with {CHECKSUMS}, written by platform.export")
    expected = _checked_files(folder)
    bundle = _bundle_of(folder, expected)
    for key in bundle.keys:
        try:
            _check(bundle, key, expected)
        except _INVALID as error:
            raise UserError(f"{folder}: {key} is not what it should be: {error}") from error
    return bundle


def _checked_files(folder: Path) -> dict[str, str]:
    """Return the digest of each file of the checksums. Raises `UserError` if the files are not these."""
    expected = _expected(folder)
    present = dict(_files(folder))
    _refuse(folder, "not listed in checksums.txt", present.keys() - expected.keys() - {CHECKSUMS})
    _refuse(folder, "missing", expected.keys() - present.keys())
    names = sorted(expected)
    digests = ordered(lambda name: file_at(present[name]).digest, names, os.cpu_count() or 1)
    _refuse(folder, "changed", {name for name, digest in zip(names, digests, strict=True) if digest != expected[name]})
    return expected


def _bundle_of(folder: Path, names: Iterable[str]) -> Bundle:
    """Return the bundle with the files `names`. Raises `UserError` unless they are those of one study."""
    keys = [name.removeprefix(f"{STORE}/") for name in names if name.startswith(f"{STORE}/")]
    studies = {key.split("/")[1] for key in keys if key.startswith(layout.studies())}
    if len(studies) != 1 or layout.study(*studies) not in keys:
        listed = ", ".join(sorted(studies)) if studies else "none"
        raise UserError(f"{folder}: a bundle holds one study, but this one holds {listed}")
    bundle = Bundle(folder, studies.pop(), tuple(sorted(keys, key=lambda key: (_order(key), key))))
    _refuse(folder, "no part of a study", {key for key in keys if not _belongs(key, bundle.study)})
    return bundle


def take_in(bundle: Bundle, store: Store, *, cache: Path) -> int:
    """Write the study of `bundle` into `store` and return the number of new objects.

    Raises:
        UserError: `store` has another study of that name, or more records of it; nothing was written.
        storage.errors.StoreError: The store cannot be read or written; the same call continues the import.
    """
    try:
        with Lease(store, f"study-{bundle.study}"):
            _refuse_conflicts(bundle, store)
            count = sum(_copy(bundle, key, store, cache) for key in bundle.keys)
            rewrite_tables(store, bundle.study)
            return count
    except LeaseHeldError as error:
        raise UserError(f"a driver works on study {bundle.study}: {error}") from None


def _expected(folder: Path) -> dict[str, str]:
    """Return the content of `checksums.txt`: name to SHA-256."""
    path = folder / CHECKSUMS
    if path.is_symlink() or path.stat().st_size > _LARGEST_LIST:
        raise UserError(f"{path} is a link, or too large to be a list of files")
    expected: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text: {error}") from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{path}:{number}: a line must be a SHA-256, two spaces and a name, but got {line[:100]!r}")
        digest, name = match.groups()
        if name in expected or not _is_inside(name):
            raise UserError(f"{path}:{number}: {name!r} is listed twice or is outside the bundle")
        expected[name] = digest
    return expected


def _is_inside(name: str) -> bool:
    try:
        layout.checked_key(name)
    except ValueError:
        return False
    return name != CHECKSUMS


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below `folder` by its name in it. Raises `UserError` for what is neither file nor folder."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{path}: a bundle holds files and folders, no links")
            if stat.S_ISREG(mode):
                yield path.relative_to(folder).as_posix(), path


def _order(key: str) -> int:
    kinds = (layout.blobs(), layout.stages(), "")
    return 3 if key.endswith("/study.json") else next(i for i, kind in enumerate(kinds) if key.startswith(kind))


def _belongs(key: str, study: str) -> bool:
    """Tell whether a bundle's store may hold `key`."""
    parts = key.split("/")
    if key.startswith(layout.blobs()):
        return key == layout.blob(parts[-1])
    if key.startswith(layout.stages()):
        return key == layout.manifest(parts[1])
    prefixes = (layout.events(study), layout.amendments(study), layout.calls(study))
    return key == layout.study(study) or (key.startswith(prefixes) and _NUMBERED.fullmatch(parts[-1]) is not None)


def _check(bundle: Bundle, key: str, expected: Mapping[str, str]) -> None:
    """Check that `key` holds what its name says. Raises many kinds of errors."""
    if key.startswith(layout.blobs()):
        if expected[f"{STORE}/{key}"] != key.rpartition("/")[2]:
            raise IntegrityError("it is named after another SHA-256")
        return
    if bundle.path(key).stat().st_size > _LARGEST_DOCUMENT:
        raise IntegrityError("it is too large to be a record")
    value = unsealed(key, bundle.path(key).read_bytes())
    if key.startswith(layout.stages()):
        manifest = Manifest.from_json(value)
        if key != layout.manifest(manifest.identity):
            raise IntegrityError(f"it is the manifest of {manifest.identity}")
        for name, file in manifest.files.items():
            _check_blob(bundle, name, file)
    elif key.startswith(layout.events(bundle.study)):
        event = TrialEvent.from_json(value)
        if key != layout.event(bundle.study, event.trial, event.sequence):
            raise IntegrityError(f"it is event {event.sequence} of {event.trial}")
    elif key == layout.study(bundle.study) and (
        value.get("id") != bundle.study or not isinstance(value.get("definition"), dict)
    ):
        raise IntegrityError(f"it defines {value.get('id')}")


def _check_blob(bundle: Bundle, name: str, file: File) -> None:
    path = bundle.path(layout.blob(file.digest))
    if not path.is_file() or path.stat().st_size != file.size:
        raise IntegrityError(f"its file {name} ({file.digest}, {file.size} bytes) is not in the bundle")
    check_format(path, name)


def _refuse(folder: Path, what: str, names: AbstractSet[str]) -> None:
    if names:
        raise UserError(f"{folder}: {what}: {some(sorted(names), most=_SHOWN)}; nothing was imported")


def _refuse_conflicts(bundle: Bundle, store: Store) -> None:
    """Raise `UserError` if `store` has a study of that name with records that are not in this bundle."""
    study_keys = {key for key in bundle.keys if key.startswith(layout.studies())}
    folder = layout.study(bundle.study).removesuffix("study.json")
    for key in store.list(folder):
        if not _belongs(key, bundle.study):
            continue  # tables and pulses
        if key not in study_keys or store.get(key) != bundle.path(key).read_bytes():
            difference = "more" if key not in study_keys else "another study"
            raise UserError(
                f"{store.uri} holds {difference} under the name {bundle.study} "
                f"({key} is not as in {bundle.folder}); nothing was imported; use another store"
            )


def _copy(bundle: Bundle, key: str, store: Store, cache: Path) -> bool:
    """Write one object and return whether it was new; an intact stage run in `store` is not replaced."""
    try:
        store.put(key, bundle.path(key))
        return True
    except ExistsError:
        if _is_intact(key, store, cache):
            return False
    store.put(key, bundle.path(key), replace=True)
    return True


def _is_intact(key: str, store: Store, cache: Path) -> bool:
    if key.startswith(layout.blobs()):
        digest: Any = file_at(store.fetch(key, cache / key)).digest
        return bool(digest == key.rpartition("/")[2])
    if key.startswith(layout.stages()):
        return RunStore(store, cache=cache).find(key.split("/")[1]) is not None
    return True  # compared before
