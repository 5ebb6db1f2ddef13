"""Notices that the first trials of a study all fail in the same way: the others would most likely fail, too."""

import re
from collections.abc import Iterable

from platform.events import Finished

FIRST = 3
"""So many trials must fail alike, and none may have ended otherwise."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


class FirstFailures:
    """The ends of the first trials of a study.

    Divergence does not count: it depends on the values of a trial, and a search may well begin with three that diverge.
    """

    def __init__(self, ends: Iterable[Finished] = ()) -> None:
        self._errors: list[str] = []
        self._differ = False
        for end in ends:
            self.add(end)

    def add(self, end: Finished) -> None:
        """Add the end of one more trial."""
        if end.outcome != "FAILED" or end.cause == "DIVERGED":
            self._differ = True
        else:
            self._errors.append(f"stage {end.stage}: {end.reason}" if end.stage is not None else end.reason)

    @property
    def same(self) -> str | None:
        """What all trials so far failed with, if they are enough; None if one ended otherwise, or for other reasons."""
        kinds = {_NUMBER.sub("#", error) for error in self._errors}
        return self._errors[0] if not self._differ and len(self._errors) >= FIRST and len(kinds) == 1 else None
