"""The cause of a failed trial or stage run, as one word. Failures are counted and retried by their cause."""

import errno
import sys
from collections.abc import Iterator
from typing import Literal

Cause = Literal[
    "DIVERGED",
    "OUT_OF_MEMORY",
    "DISK_FULL",
    "WORKER_LOST",
    "NODE_LOST",
    "DEVICE_LOST",
    "NETWORK",
    "STORE_LOST",
    "DEADLINE",
    "ERROR",
]
"""DIVERGED: a loss or target is not finite. WORKER_LOST: the worker process died. NODE_LOST: the worker's machine died.
DEVICE_LOST: the GPU, or this process's connection to it, is broken. NETWORK: the workers of a stage lost each other,
and all of them live. STORE_LOST: the store did not answer, also after all retries.
DEADLINE: no progress within `--stall-timeout`. ERROR: anything else, most likely a bug."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BY_KIND: dict[str, Cause] = {
    "DivergedError": "DIVERGED",
    "NotFiniteError": "DIVERGED",
    "MemoryError": "OUT_OF_MEMORY",
    "OutOfMemoryError": "OUT_OF_MEMORY",
    "DeviceLostError": "DEVICE_LOST",
    "AcceleratorError": "DEVICE_LOST",
    "DistNetworkError": "NETWORK",
    "NodeDiedError": "NODE_LOST",
    "UnavailableError": "STORE_LOST",
    "RayActorError": "WORKER_LOST",
    "WorkerCrashedError": "WORKER_LOST",
    "PeerLostError": "WORKER_LOST",
    # Ray Train: a worker or its bundle was lost before all workers started. The bundles themselves were granted.
    "WorkerGroupStartupTimeoutError": "WORKER_LOST",
    "WorkerGroupStartupFailedError": "WORKER_LOST",
}
"""Name of an exception class to cause. By name, so torch and Ray are not imported; each has an OutOfMemoryError."""
_BY_TEXT: dict[str, Cause] = {
    "can't allocate memory": "OUT_OF_MEMORY",
    "running low on memory": "OUT_OF_MEMORY",
    "memory usage threshold": "OUT_OF_MEMORY",
    "CUDA out of memory": "OUT_OF_MEMORY",
    "CUDA error: out of memory": "OUT_OF_MEMORY",
    "STATUS_ALLOC_FAILED": "OUT_OF_MEMORY",  # of cuBLAS and cuDNN
    "std::bad_alloc": "OUT_OF_MEMORY",
    "NCCL error": "NETWORK",
    "gloo/transport": "NETWORK",
    "CUDA error": "DEVICE_LOST",
    "CUDNN_STATUS_EXECUTION_FAILED": "DEVICE_LOST",
    "CUBLAS_STATUS_EXECUTION_FAILED": "DEVICE_LOST",
    "DeviceLostError": "DEVICE_LOST",
    "node has died": "NODE_LOST",
    "node was terminated": "NODE_LOST",
    "No space left on device": "DISK_FULL",
    "Disk quota exceeded": "DISK_FULL",
    "File too large": "DISK_FULL",
}
"""Part of a message to cause; the first that fits counts. Needed where the class does not tell: torch on a CPU raises
a plain RuntimeError, safetensors an error of its own, and Ray an ActorDiedError whatever ended the worker. After most
CUDA errors (an illegal access, a failed assertion on the device, uncorrectable memory) each later call of the process
fails, too."""
_SPECIFIC_FIRST: tuple[Cause, ...] = (
    "OUT_OF_MEMORY",
    "DISK_FULL",
    "DIVERGED",
    "STORE_LOST",
    "DEVICE_LOST",
    "NODE_LOST",
    "WORKER_LOST",
    "NETWORK",
)
"""A lost worker or node says less than the error that killed it, and lost connections less than what ended the peer."""


class DeviceLostError(RuntimeError):
    """The GPU of this process does not answer any more. The process must end; another one may reach it."""


def cause_of(error: BaseException) -> Cause:
    """Return the cause of `error`, from it and all errors that led to it (`raise ... from`, tasks, worker groups)."""
    causes = {cause for linked in _chain(error) if (cause := _cause(linked)) is not None}
    return next((cause for cause in _SPECIFIC_FIRST if cause in causes), "ERROR")


def device_answers() -> bool:
    """Return whether the GPU that this process uses still works; True if it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


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
    """Yield `error` and the errors that led to it: causes, contexts, and the workers' errors of a worker group."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "cause", None)]
        inner += getattr(current, "worker_failures", {}).values()
        waiting += [other for other in inner if isinstance(other, BaseException)]
