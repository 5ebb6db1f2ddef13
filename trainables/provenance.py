"""Code version and package lock of a stage run, for its manifest. They are not part of its identity."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
CODE = ("storage", "trainables")
"""Folders with the code of a worker. Nothing in `platform/` affects a result."""
COMMIT_VARIABLE = "MINDSWEEP_COMMIT"
"""Environment variable: the git commit of code outside git (a cluster's copy, an image), `-dirty` if it was changed."""
CODE_VARIABLE = "MINDSWEEP_CODE"
"""Environment variable: digest of the sources of COMMIT_VARIABLE. Other sources do not get that commit."""
_DIRTY = "-dirty"
_SOURCES = (".py", ".css")


@lru_cache(maxsize=8)  # once per process: later changes of files do not change the imported code
def code_facts(root: Path = ROOT) -> Mapping[str, str]:
    """Return digests of sources and lock, the git commit, and whether these files have changed since (`dirty`).

    Outside git (a Ray cluster's copy of the code) the commit comes from the environment, if the digest of the sources
    agrees. Otherwise commit and `dirty` are absent. The digests are always present.
    """
    facts = {"code": code_digest(root)}
    if (root / LOCK).is_file():
        facts["lock"] = hashlib.sha256((root / LOCK).read_bytes()).hexdigest()[:16]
    commit = git(root, "rev-parse", "HEAD")
    changes = git(root, "status", "--porcelain", "--", *CODE, LOCK)
    if commit is None or changes is None:
        return {**facts, **_commit_from_environment(facts["code"])}
    return {**facts, "commit": commit, "dirty": str(bool(changes)).lower()}


def commit_variables(root: Path = ROOT) -> dict[str, str]:
    """Return the environment variables that give a copy of the code at `root` its commit; empty if it is unknown."""
    facts = code_facts(root)
    if "commit" not in facts:
        return {}
    dirty = _DIRTY if facts["dirty"] == "true" else ""
    return {COMMIT_VARIABLE: facts["commit"] + dirty, CODE_VARIABLE: facts["code"]}


def _commit_from_environment(code: str) -> dict[str, str]:
    """Return commit and `dirty` from the environment, if it describes the sources with the digest `code`."""
    commit = os.environ.get(COMMIT_VARIABLE, "")
    if commit == "" or os.environ.get(CODE_VARIABLE, code) != code:
        return {}
    return {"commit": commit.removesuffix(_DIRTY), "dirty": str(commit.endswith(_DIRTY)).lower()}


def code_digest(root: Path = ROOT) -> str:
    """Return a digest of 16 hex digits of the sources in `root` that a worker runs."""
    total = hashlib.sha256()
    for folder in CODE:
        for path in sorted(file for file in (root / folder).rglob("*") if file.suffix in _SOURCES):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()[:16]


def git(root: Path, *arguments: str) -> str | None:
    """Return the output of git for the checkout at `root`; None outside git or if git is not installed."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()
