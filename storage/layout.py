"""Every key of the store, in one place."""

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_START_OF_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})?")


def checked(name: str) -> str:
    """Return `name` if it may be one part of a key, else raise `ValueError`."""
    if _NAME.fullmatch(name) is None or ".." in name:
        raise ValueError(f"a name in the store must match {_NAME.pattern} and hold no '..', but got {name!r}")
    return name


def checked_key(key: str) -> str:
    """Return `key` if each of its parts (between `/`) is a name, else raise `ValueError`: no key leaves its store."""
    for part in key.split("/"):
        checked(part)
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` if keys may start with it: empty, or a key cut off anywhere. Else raise `ValueError`."""
    folder, slash, rest = prefix.rpartition("/")
    if slash:
        checked_key(folder)
    if _START_OF_NAME.fullmatch(rest) is None or ".." in rest:
        raise ValueError(f"no key of the store can start with {prefix!r}")
    return prefix


def blob(digest: str) -> str:
    """Content-addressed bytes, by their SHA-256 in hex."""
    return f"{blobs()}{checked(digest)[:2]}/{digest}"


def blobs() -> str:
    """The prefix of all blobs."""
    return "blobs/sha256/"


def manifest(identity: str) -> str:
    """What a finished stage run made; written last, so its existence means that the run is complete."""
    return f"{stages()}{checked(identity)}/manifest.json"


def stages() -> str:
    """The prefix of all finished stage runs."""
    return "stages/"


def checkpoint(identity: str, epoch: int) -> str:
    """The prefix of one checkpoint of an unfinished stage run."""
    return f"{checkpoints(identity)}{epoch:06d}/"


def checkpoint_file(identity: str, epoch: int, name: str) -> str:
    """One file of a checkpoint."""
    return f"{checkpoint(identity, epoch)}files/{checked_key(name)}"


def checkpoint_manifest(identity: str, epoch: int) -> str:
    """The names and digests of a checkpoint's files; written last."""
    return f"{checkpoint(identity, epoch)}manifest.json"


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
    return f"{events(study_name)}{checked(trial)}/{sequence:06d}.json"


def events(study_name: str) -> str:
    """The prefix of all events of a study."""
    return f"studies/{checked(study_name)}/events/"


def amendment(study_name: str, number: int) -> str:
    """One change of a study's plan, numbered from 1, made after it was frozen."""
    return f"{amendments(study_name)}{number:06d}.json"


def amendments(study_name: str) -> str:
    """The prefix of all amendments of a study."""
    return f"studies/{checked(study_name)}/amendments/"


def call(study_name: str, number: int) -> str:
    """What a driver was asked to do for a study, numbered from 1."""
    return f"{calls(study_name)}{number:06d}.json"


def calls(study_name: str) -> str:
    """The prefix of all calls of a study."""
    return f"studies/{checked(study_name)}/calls/"


def record(study_name: str, name: str) -> str:
    """A table made of a study's events; it can be made again."""
    return f"studies/{checked(study_name)}/records/{checked(name)}"


def pulse(study_name: str, name: str) -> str:
    """The last sign of life of the worker on a trial, or on a shared stage run; gone when the work is over."""
    return f"{pulses(study_name)}{checked(name)}.json"


def pulses(study_name: str) -> str:
    """The prefix of all signs of life in a study."""
    return f"studies/{checked(study_name)}/pulses/"


def lease(name: str, generation: int) -> str:
    """Who works on `name` now, if this generation is the highest."""
    return f"{leases(name)}{generation:09d}.json"


def leases(name: str) -> str:
    """The prefix of all generations of a lease."""
    return f"leases/{checked(name)}/"
