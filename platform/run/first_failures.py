"""Notices that the first trials of a study all fail in the same way: the others would most likely fail, too."""

import re
from collections.abc import Iterable

from platform.events import Finished

FIRST = 3
"""How many trials must fail in the same way, while none ends in another way."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


class FirstFailures:
    """The ends of the first trials of a study.

    Divergence does not count: it depends on the values of a trial, and a search may well begin with three that diverge.
    """

    def __init__(self, ends: Iterable[Finished] = ()) -> None:
        self._first: str | None = None
        """What the first trial failed with."""
        self._alike = 0
        """How many have failed with it."""
        self._differ = False
        for end in ends:
            self.add(end)

    def add(self, end: Finished) -> None:
        """Add the end of one more trial."""
        error = f"stage {end.stage}: {end.reason}" if end.stage is not None else end.reason
        self._first = error if self._first is None else self._first
        self._alike += 1
        is_failure = end.outcome == "FAILED" and end.cause != "DIVERGED"
        self._differ = self._differ or not is_failure or _kind(error) != _kind(self._first)

    @property
    def same(self) -> str | None:
        """What all trials so far failed with, if they are enough; None if one ended otherwise, or for other reasons."""
        return self._first if self._alike >= FIRST and not self._differ else None


def _kind(error: str) -> str:
    """Return an error without its numbers."""
    return _NUMBER.sub("#", error)
