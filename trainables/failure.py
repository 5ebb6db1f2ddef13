"""Why a trial or stage run failed: one word for what a traceback tells, to count by and to decide on another try."""

import errno
from collections.abc import Iterator
from typing import Literal

Cause = Literal["DIVERGED", "OUT_OF_MEMORY", "DISK_FULL", "WORKER_LOST", "NODE_LOST", "STORE_LOST", "DEADLINE", "ERROR"]
"""DIVERGED: a loss or target is not finite. WORKER_LOST: its process died. NODE_LOST: the machine of that process did.
STORE_LOST: the store did not answer for as long as it is asked again.
DEADLINE: it made no progress for as long as `--stall-timeout` allows. ERROR: anything else, most likely a bug."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BY_KIND: dict[str, Cause] = {
    "DivergedError": "DIVERGED",
    "NotFiniteError": "DIVERGED",
    "MemoryError": "OUT_OF_MEMORY",
    "OutOfMemoryError": "OUT_OF_MEMORY",
    "NodeDiedError": "NODE_LOST",
    "UnavailableError": "STORE_LOST",
    "RayActorError": "WORKER_LOST",
    "WorkerCrashedError": "WORKER_LOST",
    "PeerLostError": "WORKER_LOST",
    # Ray Train's, where a worker or its place is gone before all have begun: the places themselves were granted.
    "WorkerGroupStartupTimeoutError": "WORKER_LOST",
    "WorkerGroupStartupFailedError": "WORKER_LOST",
}
"""By a class's name, so that no engine is imported to ask: torch and Ray have an OutOfMemoryError each."""
_BY_TEXT: dict[str, Cause] = {
    "can't allocate memory": "OUT_OF_MEMORY",
    "running low on memory": "OUT_OF_MEMORY",
    "memory usage threshold": "OUT_OF_MEMORY",
    "node has died": "NODE_LOST",
    "node was terminated": "NODE_LOST",
    "No space left on device": "DISK_FULL",
    "Disk quota exceeded": "DISK_FULL",
    "File too large": "DISK_FULL",
}
"""By what stands in it: torch on a CPU raises a plain RuntimeError, safetensors an error of its own, Ray one
ActorDiedError for all deaths."""


def cause_of(error: BaseException) -> Cause:
    """Return why `error` came about, by it and all errors that led to it (`raise ... from`, tasks, worker groups)."""
    found = {cause for each in _chain(error) if (cause := _cause(each)) is not None}
    # A lost worker or node is told less exactly than what killed it.
    for cause in ("OUT_OF_MEMORY", "DISK_FULL", "DIVERGED", "STORE_LOST", "NODE_LOST", "WORKER_LOST"):
        if cause in found:
            return cause
    return "ERROR"


def _cause(error: BaseException) -> Cause | None:
    if isinstance(error, OSError) and error.errno in _FULL:
        return "DISK_FULL"
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return "OUT_OF_MEMORY"
    if isinstance(error, (RuntimeError, OSError)) or _named(error, "RayError") or _named(error, "SafetensorError"):
        text = str(error)
        for part, cause in _BY_TEXT.items():
            if part in text:
                return cause
    return next((cause for name, cause in _BY_KIND.items() if _named(error, name)), None)


def _named(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what led to it: its causes, its context, and of a worker group's the workers' errors."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = [each.__cause__, each.__context__, getattr(each, "cause", None)]
        inner += getattr(each, "worker_failures", {}).values()
        waiting += [other for other in inner if isinstance(other, BaseException)]
