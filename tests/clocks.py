"""A clock that a test sets."""

from collections.abc import Callable

from storage.clock import Clock


class SetClock(Clock):
    """Whoever sleeps by it goes on at once, and that much later; `meanwhile` is called during each sleep."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.time = 0.0
        self._meanwhile = meanwhile

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self._meanwhile()
        self.time += seconds
