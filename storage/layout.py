"""Every key of the store, in one place."""

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def checked(name: str) -> str:
    """Return `name` if it may be one part of a key, else raise `ValueError`."""
    if _NAME.fullmatch(name) is None or ".." in name:
        raise ValueError(f"a name in the store must match {_NAME.pattern} and hold no '..', but got {name!r}")
    return name


def blob(digest: str) -> str:
    """Content-addressed bytes, by their SHA-256 in hex."""
    return f"blobs/sha256/{checked(digest)[:2]}/{digest}"


def manifest(identity: str) -> str:
    """What a finished stage run made; written last, so its existence means that the run is complete."""
    return f"stages/{checked(identity)}/manifest.json"


def checkpoint(identity: str, epoch: int) -> str:
    """The prefix of one checkpoint of an unfinished stage run."""
    return f"checkpoints/{checked(identity)}/{epoch:06d}/"


def checkpoints(identity: str) -> str:
    """The prefix of all checkpoints of a stage run."""
    return f"checkpoints/{checked(identity)}/"


def study(name: str) -> str:
    """The frozen definition of a study."""
    return f"studies/{checked(name)}/study.json"


def studies() -> str:
    """The prefix of all studies."""
    return "studies/"


def event(study_name: str, trial: str, sequence: int) -> str:
    """One event of a trial, numbered from 0 without gaps."""
    return f"studies/{checked(study_name)}/events/{checked(trial)}/{sequence:06d}.json"


def events(study_name: str) -> str:
    """The prefix of all events of a study."""
    return f"studies/{checked(study_name)}/events/"


def lease(name: str) -> str:
    """Who works on `name` now."""
    return f"leases/{checked(name)}.json"
