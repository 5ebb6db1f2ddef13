"""Time as a thing that can be handed in, so that tests of waiting do not wait."""

import time


class Clock:
    """This machine's monotonic clock: the seconds since some fixed moment, and a way to let them pass."""

    def now(self) -> float:
        """Return the time in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


REAL = Clock()
