"""PLAN VERB ARGUMENT...: run a verb of the command line as `python -m platform.VERB` does, with faults from within.

PLAN is JSON, a `Inner` as a mapping. These faults are exact: the n-th write of this process, not a moment.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from platform import ablate, sweep
from storage.errors import UnavailableError
from storage.local import LocalStore

_WRITES = ("put", "delete")
_CALLS = (*_WRITES, "get", "exists", "size")


@dataclass(frozen=True)
class Inner:
    """What goes wrong in a driver by its own doing."""

    dies_at: int = 0
    """Number of the write to the store, put or delete, at which the process is killed; 0: at none."""
    dies: Literal["before", "within", "after"] = "before"
    fails_at: int = 0
    """Number of the first write that the store refuses; 0: none."""
    fails_for: int = 1
    """How many writes in a row it refuses."""
    slow: float = 0.0
    """Largest number of seconds that a call of the store takes longer."""
    clock: float = 0.0
    """By how many seconds this process's clock is ahead."""
    jump: float = 0.0
    """By how many seconds it jumps once."""
    jumps_after: float = 0.0
    """Seconds until it does."""
    seed: int = 0


@dataclass
class _Faults:
    """The faults of a local store and of the clock, as methods that take the place of others."""

    inner: Inner
    writes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.inner.seed)

    def install(self) -> None:
        """Put the faults into this process."""
        for name in _CALLS:
            setattr(LocalStore, name, self._call(name, getattr(LocalStore, name)))
        if self.inner.clock or self.inner.jump:
            time.time = self._clock(time.time, time.monotonic())

    def _clock(self, real: Callable[[], float], began: float) -> Callable[[], float]:
        def now() -> float:
            jumped = time.monotonic() - began >= self.inner.jumps_after
            return real() + self.inner.clock + (self.inner.jump if jumped else 0.0)

        return now

    def _call(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(store: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
            if self.inner.slow:
                time.sleep(self._random.uniform(0.0, self.inner.slow))
            if name not in _WRITES:
                return real(store, key, *args, **kwargs)
            with self.lock:
                self.writes += 1
                number = self.writes
            self._refuse(number, name, key)
            if number == self.inner.dies_at and self.inner.dies != "after":
                self._die(name)
            done = real(store, key, *args, **kwargs)
            if number == self.inner.dies_at:
                _kill()
            return done

        return call

    def _refuse(self, number: int, name: str, key: str) -> None:
        if self.inner.fails_at and 0 <= number - self.inner.fails_at < self.inner.fails_for:
            raise UnavailableError(f"cannot {name} {key}: write {number} is refused")

    def _die(self, name: str) -> None:
        """End at once or, if something is written, with half of it in the store's temporary file."""
        if name == "put" and self.inner.dies == "within":
            shutil.copyfileobj = _half  # type: ignore[assignment]
        else:
            _kill()


def _half(source: Any, target: Any, length: int = 0) -> None:
    data = source.read()
    target.write(data[: len(data) // 2])
    target.flush()
    _kill()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _draw_no_figures() -> None:
    """Drawing takes longer than a small study, and so does loading what draws."""
    none: Any = types.ModuleType("platform.figures.page")
    none.write = lambda data, **files: None
    sys.modules["platform.figures.page"] = none


def drive(inner: Inner, arguments: Sequence[str]) -> int:
    """Run the verb and its `arguments` with the faults of `inner`, and return the exit code."""
    _draw_no_figures()
    _Faults(inner).install()
    verb, *others = arguments
    return {"sweep": sweep.main, "ablate": ablate.main}[verb](others)


if __name__ == "__main__":
    sys.exit(drive(Inner(**json.loads(sys.argv[1])), sys.argv[2:]))
