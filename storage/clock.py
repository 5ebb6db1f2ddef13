"""A clock as an argument, so that tests of waiting do not wait."""

import time


class Clock:
    """The monotonic clock of this machine."""

    def now(self) -> float:
        """Return the seconds since a fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


REAL = Clock()
