"""Ctrl-C and SIGTERM request a stop: the work ends at the next safe point, after its records and leases are closed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STOPPING = b"\nstopping: running work goes on to a safe point, then records are closed; Ctrl-C again stops at once\n"


class Interrupt:
    """Remembers that the user asked to stop. A second Ctrl-C stops at once, without waiting for a safe point."""

    def __init__(self, refuse: Callable[[], None] = lambda: None) -> None:
        """Call `refuse` at each safe point; it raises if the work must stop for another reason."""
        self.requested = False
        self._refuse = refuse

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a stop was requested. Called where stopping is safe."""
        self._refuse()
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals as requests. Entered again after `ray.init`, which installs its own handler."""
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
        with suppress(OSError):
            os.write(2, _STOPPING)  # not by `sys.stderr`: this process may just be writing there
