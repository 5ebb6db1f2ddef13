"""Ctrl-C and SIGTERM as a request: the work ends at the next safe place, with its records and leases in order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Remembers that the user wants to stop. A second Ctrl-C does not wait for a safe place."""

    def __init__(self, refuse: Callable[[], None] = lambda: None) -> None:
        """Ask `refuse` at each safe place: it raises what else forbids to go on."""
        self.requested = False
        self._refuse = refuse

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a stop was requested. Called where stopping is safe."""
        self._refuse()
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals as requests; entered again after `ray.init`, which sets a handler of its own."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals belong to the main thread
            return
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
