"""The keys of the store, all in this module."""

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_START_OF_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})?")


def checked(name: str) -> str:
    """Return `name`. Raises `ValueError` if it cannot be a part of a key."""
    if _NAME.fullmatch(name) is None or ".." in name:
        raise ValueError(f"{name!r} cannot be a name in the store; a name must match {_NAME.pattern} without '..'")
    return name


def checked_key(key: str) -> str:
    """Return `key`. Raises `ValueError` if a part of it (between `/`) is not a valid name."""
    for part in key.split("/"):
        checked(part)
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix`: empty, or the start of a key. Raises `ValueError` if no key can start with it."""
    folder, slash, rest = prefix.rpartition("/")
    if slash:
        checked_key(folder)
    if _START_OF_NAME.fullmatch(rest) is None or ".." in rest:
        raise ValueError(f"no key of the store can start with {prefix!r}")
    return prefix


def blob(digest: str) -> str:
    """Return the key of a blob: bytes, addressed by their SHA-256 in hex."""
    return f"{blobs()}{checked(digest)[:2]}/{digest}"


def blobs() -> str:
    """Return the prefix of all blobs."""
    return "blobs/sha256/"


def manifest(identity: str) -> str:
    """Return the key of a stage run's manifest. It is written last: if it exists, the stage run is complete."""
    return f"{stages()}{checked(identity)}/manifest.json"


def stages() -> str:
    """Return the prefix of all finished stage runs."""
    return "stages/"


def checkpoint(identity: str, epoch: int) -> str:
    """Return the prefix of one checkpoint of an unfinished stage run."""
    return f"{checkpoints(identity)}{epoch:06d}/"


def checkpoint_file(identity: str, epoch: int, name: str) -> str:
    """Return the key of a file of a checkpoint."""
    return f"{checkpoint(identity, epoch)}files/{checked_key(name)}"


def checkpoint_manifest(identity: str, epoch: int) -> str:
    """Return the key of the names and digests of a checkpoint's files. It is written last."""
    return f"{checkpoint(identity, epoch)}manifest.json"


def checkpoints(identity: str) -> str:
    """Return the prefix of all checkpoints of a stage run."""
    return f"{all_checkpoints()}{checked(identity)}/"


def all_checkpoints() -> str:
    """Return the prefix of the checkpoints of all stage runs."""
    return "checkpoints/"


def study(name: str) -> str:
    """Return the key of the frozen definition of a study."""
    return f"studies/{checked(name)}/study.json"


def studies() -> str:
    """Return the prefix of all studies."""
    return "studies/"


def event(study_name: str, trial: str, sequence: int) -> str:
    """Return the key of an event of a trial. Events are numbered from 0 without gaps."""
    return f"{events(study_name)}{checked(trial)}/{sequence:06d}.json"


def events(study_name: str) -> str:
    """Return the prefix of all events of a study."""
    return f"studies/{checked(study_name)}/events/"


def amendment(study_name: str, number: int) -> str:
    """Return the key of an amendment: a change of a frozen study. Amendments are numbered from 1."""
    return f"{amendments(study_name)}{number:06d}.json"


def amendments(study_name: str) -> str:
    """Return the prefix of all amendments of a study."""
    return f"studies/{checked(study_name)}/amendments/"


def call(study_name: str, number: int) -> str:
    """Return the key of a call of a driver for a study. Calls are numbered from 1."""
    return f"{calls(study_name)}{number:06d}.json"


def calls(study_name: str) -> str:
    """Return the prefix of all calls of a study."""
    return f"studies/{checked(study_name)}/calls/"


def record(study_name: str, name: str) -> str:
    """Return the key of a table that is computed from a study's events."""
    return f"studies/{checked(study_name)}/records/{checked(name)}"


def pulse(study_name: str, name: str) -> str:
    """Return the key of the last heartbeat of a trial or shared stage run. It is removed when the work ends."""
    return f"{pulses(study_name)}{checked(name)}.json"


def pulses(study_name: str) -> str:
    """Return the prefix of all heartbeats of a study."""
    return f"studies/{checked(study_name)}/pulses/"


def lease(name: str, generation: int) -> str:
    """Return the key of one generation of the lease `name`. The highest generation is the current holder."""
    return f"{leases(name)}{generation:09d}.json"


def leases(name: str) -> str:
    """Return the prefix of all generations of a lease."""
    return f"leases/{checked(name)}/"
