"""A thread that writes queued items in batches and in order, and retries after failures. Callers do not wait."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from storage.clock import REAL, Clock

Item = TypeVar("Item")
_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 30.0
"""Longest wait in seconds; waits double after each failure."""


class BackgroundWriter(Generic[Item]):
    """Calls `write` with lists of queued items, in order.

    After `write` raised, it is called again with the same items, so writing an item twice must have no further effect.
    """

    def __init__(
        self,
        write: Callable[[list[Item]], None],
        *,
        name: str,
        pause: float = 0.3,
        patience: float = 20.0,
        clock: Clock = REAL,
    ) -> None:
        """Start the thread.

        Args:
            write: Writes items, or raises if it cannot.
            name: Name of the destination, for messages.
            pause: Seconds during which items are collected into a batch; also the first wait after a failure.
            patience: Seconds for which `close` retries a destination that fails.
            clock: The clock of these waits.
        """
        self._write = write
        self._name = name
        self._pause, self._patience, self._clock = pause, patience, clock
        self._queue: SimpleQueue[tuple[Item, ...]] = SimpleQueue()
        self._pending: list[Item] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{name}-writer", daemon=True)
        self._thread.start()

    def put(self, *items: Item) -> None:
        """Queue `items`, which are written in one batch, and return at once."""
        self._queue.put(items)

    def close(self) -> list[Item]:
        """Write the queued items and return those that could not be written within the patience."""
        self._closing.set()
        self._queue.put(())  # wakes the thread
        self._thread.join()
        return self._pending

    def _work(self) -> None:
        failures = 0
        give_up: float | None = None
        while True:
            self._gather(block=not self._pending)
            if self._pending:
                failures = 0 if self._attempt(first=failures == 0) else failures + 1
            if not self._closing.is_set():
                self._closing.wait(self._wait(failures))
                continue
            give_up = self._clock.now() + self._patience if give_up is None else give_up
            if self._queue.empty() and (not self._pending or self._clock.now() >= give_up):
                return
            self._clock.sleep(min(self._wait(failures), 2.0) if self._pending else 0.0)

    def _gather(self, *, block: bool) -> None:
        try:
            self._pending += self._queue.get(block=block)
            while True:
                self._pending += self._queue.get_nowait()
        except Empty:
            return

    def _attempt(self, *, first: bool) -> bool:
        try:
            self._write(list(self._pending))
        except Exception as error:  # the client may raise anything; the study must continue
            if first:
                _log.warning("%s does not answer; events are kept and sent again: %s", self._name, error)
            return False
        self._pending.clear()
        return True

    def _wait(self, failures: int) -> float:
        return min(self._pause * 2.0**failures, _LONGEST_PAUSE)
