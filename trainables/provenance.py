"""What a stage run was made with, code and lock: facts for its manifest, none of which is part of its identity."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
CODE = ("storage", "trainables")
"""What a worker runs: nothing of `platform/` decides a result."""
COMMIT_VARIABLE = "MINDSWEEP_COMMIT"
"""Tells the git commit where there is no checkout (a cluster's copy, an image); ends in `-dirty` after changes."""
CODE_VARIABLE = "MINDSWEEP_CODE"
"""Digest of the sources that COMMIT_VARIABLE speaks of; a process that runs others does not take the commit's name."""
_DIRTY = "-dirty"
_SOURCES = (".py", ".css")


@lru_cache(maxsize=8)  # once per process, which runs what it imported at its start
def code_facts(root: Path = ROOT) -> Mapping[str, str]:
    """Return digests of sources and lock, and the git commit with `dirty` for changes of these since.

    Outside git (a Ray cluster's copy of the code) the commit is what the environment tells, if these are the sources
    that it tells of; else commit and `dirty` are absent. The digests are always there.
    """
    facts = {"code": code_digest(root)}
    if (root / LOCK).is_file():
        facts["lock"] = hashlib.sha256((root / LOCK).read_bytes()).hexdigest()[:16]
    commit = git(root, "rev-parse", "HEAD")
    changed = git(root, "status", "--porcelain", "--", *CODE, LOCK)
    if commit is None or changed is None:
        return {**facts, **_told(facts["code"])}
    return {**facts, "commit": commit, "dirty": str(bool(changed)).lower()}


def commit_variables(root: Path = ROOT) -> dict[str, str]:
    """Return the environment by which a copy of the code at `root` knows its commit; empty where that is unknown."""
    facts = code_facts(root)
    if "commit" not in facts:
        return {}
    dirty = _DIRTY if facts["dirty"] == "true" else ""
    return {COMMIT_VARIABLE: facts["commit"] + dirty, CODE_VARIABLE: facts["code"]}


def _told(code: str) -> dict[str, str]:
    """Return what the environment tells of the commit that the sources with the digest `code` are of."""
    commit = os.environ.get(COMMIT_VARIABLE, "")
    if commit == "" or os.environ.get(CODE_VARIABLE, code) != code:
        return {}
    return {"commit": commit.removesuffix(_DIRTY), "dirty": str(commit.endswith(_DIRTY)).lower()}


def code_digest(root: Path = ROOT) -> str:
    """Return 16 hex digits that change with the sources in `root` that a worker runs."""
    total = hashlib.sha256()
    for folder in CODE:
        for path in sorted(file for file in (root / folder).rglob("*") if file.suffix in _SOURCES):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()[:16]


def git(root: Path, *arguments: str) -> str | None:
    """Return what git says of the checkout at `root`; None outside git or where git is missing."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
