"""Digests of a prepared data set, and the stored verdict of its check, so that planning need not read all bytes."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from storage.content import write_file
from trainables.config.base import Config
from trainables.datasets.errors import DataProblem, DataReport
from trainables.datasets.prepared.description import DESCRIPTION_FILE, FileFacts
from trainables.datasets.prepared.tables import ClipRow

CHECKS = 2
"""Raised when `validate` checks more: verdicts stored before are then ignored."""
VERDICT_FILE = ".verdict.json"
CARDS = ("card.md", "card.html")


def content_files(folder: Path) -> list[str]:
    """Return the paths of all content files: all but dataset.json, the cards and hidden files."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    visible = (path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path for path in visible if path not in (DESCRIPTION_FILE, *CARDS))


def digest_files(folder: Path, advance: Callable[[int], None] = lambda count: None) -> dict[str, FileFacts]:
    """Return size and digest of every content file; reads all bytes, and calls `advance` with their number."""
    facts = {}
    for name in content_files(folder):
        path = folder / name
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        facts[name] = FileFacts(bytes=path.stat().st_size, sha256=sha256)
        advance(facts[name].bytes)
    return facts


def set_digest(files: Mapping[str, FileFacts]) -> str:
    """Return the SHA-256 over the sorted (path, SHA-256) of `files`.

    Example:
        >>> set_digest({"clips.parquet": FileFacts(bytes=3, sha256="00")})[:16]
        '5680cbffa095b5c5'
    """
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{files[path].sha256}\n".encode())
    return total.hexdigest()


def clips_digest(clips: Sequence[ClipRow]) -> str:
    """Return a digest of the clips' pixels, in order: independent of shards, splits and captions."""
    return hashlib.sha256("\n".join(clip.sha256 for clip in clips).encode()).hexdigest()


def captions_digest(clips: Sequence[ClipRow]) -> str:
    """Return a digest of names and captions, in order."""
    texts = [[clip.clip_id, clip.caption, *clip.captions] for clip in clips]
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()


def folder_state(folder: Path) -> str:
    """Return a digest of path, size and time of change of every content file and dataset.json: reads no content."""
    total = hashlib.sha256()
    for name in (DESCRIPTION_FILE, *content_files(folder)):
        with suppress(OSError):  # a dangling link is reported by `validate`
            status = (folder / name).stat()
            total.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()


class _Finding(Config):
    where: str
    what: str
    right: str
    fatal: bool


class _Verdict(Config):
    """The stored verdict of a check, as JSON."""

    checks: int
    state: str
    digest: str
    problems: tuple[_Finding, ...] = Field(default=())


def kept_verdict(folder: Path) -> tuple[DataReport, str] | None:
    """Return the report and digest of an earlier check of the same files, or None."""
    state: str | None = None
    for path in _verdict_paths(folder):
        with suppress(OSError, ValidationError):
            verdict = _Verdict.model_validate_json(path.read_text(encoding="utf-8"))
            state = state if state is not None else folder_state(folder)
            if verdict.checks == CHECKS and verdict.state == state:
                return DataReport(tuple(_problem(finding, folder) for finding in verdict.problems)), verdict.digest
    return None


def keep_verdict(folder: Path, report: DataReport, digest: str) -> None:
    """Store the result of a check: in the data set's folder, or in the user's cache folder if that is read-only."""
    findings = tuple(_finding(problem, folder) for problem in report.problems)
    verdict = _Verdict(checks=CHECKS, state=folder_state(folder), digest=digest, problems=findings)
    for path in _verdict_paths(folder):
        with suppress(OSError), write_file(path) as temporary:
            temporary.write_text(verdict.model_dump_json(), encoding="utf-8")
            return


_HERE = "$DATASET"
"""Replaces the folder in messages, so that a verdict stays valid when the folder is moved."""


def _finding(problem: DataProblem, folder: Path) -> _Finding:
    where = problem.where.replace(str(folder), _HERE)
    return _Finding(where=where, what=problem.what, right=problem.right, fatal=problem.fatal)


def _problem(finding: _Finding, folder: Path) -> DataProblem:
    where = finding.where.replace(_HERE, str(folder))
    return DataProblem(where, finding.what, finding.right, finding.fatal)


def _verdict_paths(folder: Path) -> Iterator[Path]:
    yield folder / VERDICT_FILE
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:32]
    yield caches / "mindsweep" / "verdicts" / f"{name}.json"
