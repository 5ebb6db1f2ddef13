"""Changes of a bundle that an import refuses."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage import layout
from storage.content import sealed


def listed(folder: Path) -> None:
    """Write the checksums anew, as somebody would who changed a bundle on purpose."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "checksums.txt")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "checksums.txt").write_text("".join(lines))


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def _flip(folder: Path, pattern: str) -> None:
    path = sorted(folder.glob(pattern))[0]
    rewrite(path, path.read_bytes()[:-2] + b"?" + path.read_bytes()[-1:])


def _forged(folder: Path, pattern: str, change: Callable[[Any], Any]) -> None:
    """Change a record and seal it again, checksums and all."""
    path = sorted(folder.glob(pattern))[0]
    rewrite(path, sealed(change(json.loads(path.read_bytes())["value"])))
    listed(folder)


def _add(folder: Path, name: str, data: bytes = b"{}") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    listed(folder)


def _line(folder: Path, name: str) -> None:
    with open(folder / "checksums.txt", "a", encoding="utf-8") as file:
        file.write(f"{'0' * 64}  {name}\n")


def _other_events(folder: Path) -> None:
    trial = folder / "store/studies/small/events/half-u0-s0"
    trial.rename(trial.with_name("half-u0-s9"))
    listed(folder)


def _deep(folder: Path) -> None:
    body = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    seal = hashlib.sha256(body).hexdigest().encode()
    rewrite(folder / "store/studies/small/study.json", b'{"sha256":"%s","value":%s}' % (seal, body))
    listed(folder)


def _misnamed_blob(folder: Path) -> None:
    blob = sorted(path for path in (folder / "store/blobs").rglob("*") if path.is_file())[0]
    rewrite(blob, b"other bytes")
    listed(folder)


def _malformed(folder: Path) -> None:
    data = b"{"
    blob = folder / "store" / layout.blob(hashlib.sha256(data).hexdigest())
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    files = {"value.json": {"digest": blob.name, "size": len(data)}}
    _forged(folder, "store/stages/*/*", lambda value: {**value, "files": files})


def _linked(folder: Path) -> None:
    (folder / "store/blobs").rename(folder.parent / "elsewhere")
    (folder / "store/blobs").symlink_to(folder.parent / "elsewhere")


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed artifact": (lambda f: _flip(f, "store/blobs/*/*/*"), "changed: store/blobs"),
    "a changed event": (lambda f: _flip(f, "store/studies/small/events/*/000002.json"), "changed: store/studies"),
    "a changed report": (lambda f: _flip(f, "report/report.md"), "changed: report/report.md"),
    "a missing file": (lambda f: (f / "README.txt").unlink(), "missing: README.txt"),
    "a file that is not listed": (lambda f: (f / "evil.py").write_text(""), "not listed in checksums.txt: evil.py"),
    "a link": (lambda f: os.symlink("/etc/passwd", f / "records" / "more"), "no links"),
    "a linked folder": (_linked, "no links"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe"), "no links"),
    "a listed parent": (lambda f: _line(f, "../../etc/passwd"), "is outside the bundle"),
    "a listed root": (lambda f: _line(f, "/etc/passwd"), "is outside the bundle"),
    "a listed backslash": (lambda f: _line(f, "..\\evil"), "a line must be"),
    "a name listed twice": (lambda f: _line(f, "README.txt"), "is listed twice"),
    "a list that is no list": (lambda f: (f / "checksums.txt").write_bytes(b"\xff\xfe"), "is not text"),
    "a lease": (lambda f: _add(f, "store/leases/study-small/000000009.json"), "no part of a study"),
    "a checkpoint": (lambda f: _add(f, "store/checkpoints/noop-1/000001/manifest.json"), "no part of a study"),
    "an event that is none": (lambda f: _add(f, "store/studies/small/events/x/y.json"), "no part of a study"),
    "a second study": (lambda f: _add(f, "store/studies/other/study.json"), "holds one study, but"),
    "another artifact under its name": (_misnamed_blob, "named after another SHA-256"),
    "events under another trial": (_other_events, "it is event 0 of half-u0-s0"),
    "an event with more in it": (
        lambda f: _forged(f, "store/studies/small/events/*/000000.json", lambda value: {**value, "more": 1}),
        "is not what it should be",
    ),
    "a record that is no object": (
        lambda f: _forged(f, "store/studies/small/calls/*", lambda _: [1]),
        "is not what it should be",
    ),
    "a manifest of files that are not there": (
        lambda f: _forged(f, "store/stages/*/*", lambda v: {**v, "files": {"a": {"digest": "ab" * 32, "size": 1}}}),
        "is not in the bundle",
    ),
    "a manifest whose files lead out": (
        lambda f: _forged(f, "store/stages/*/*", lambda v: {**v, "files": {"../a": {"digest": "ab" * 32, "size": 1}}}),
        "is not what it should be",
    ),
    "a manifest of another run": (
        lambda f: _forged(f, "store/stages/*/*", lambda value: {**value, "identity": "noop-1"}),
        "it is the manifest of noop-1",
    ),
    "an artifact that is not what its name says": (_malformed, "value.json is not a json file"),
    "records nested without end": (_deep, "is not what it should be"),
    "no bundle": (lambda f: (f / "checksums.txt").unlink(), "is not a bundle"),
}
