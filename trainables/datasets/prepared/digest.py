"""Digests of a prepared data set: of its files, its clips and captions, and of sizes and times alone."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from storage.content import file_at
from trainables.datasets.prepared.description import DESCRIPTION_FILE, FileFacts
from trainables.datasets.prepared.parts import Advance, RunParts, parts_here
from trainables.datasets.prepared.tables import ClipRow

CARDS = ("card.md", "card.html")


def content_files(folder: Path) -> list[str]:
    """Return the paths of all content files: all but dataset.json, the cards and hidden files."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    visible = (path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path for path in visible if path not in (DESCRIPTION_FILE, *CARDS))


def digest_files(
    folder: Path, advance: Advance = lambda count: None, *, run_parts: RunParts = parts_here
) -> dict[str, FileFacts]:
    """Return size and digest of every content file; reads all bytes, and calls `advance` with their number."""
    names = content_files(folder)
    facts = {}
    with closing(run_parts(file_at, [folder / name for name in names])) as results:
        for index, file in results:
            facts[names[index]] = FileFacts(bytes=file.size, sha256=file.digest)
            advance(file.size)
    return {name: facts[name] for name in names}


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
