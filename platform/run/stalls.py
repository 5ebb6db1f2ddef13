"""Which work hangs: what has not reached another epoch or stage for too long, by the signs of life in the store."""

from dataclasses import dataclass

from storage.base import Store
from storage.clock import REAL, Clock
from storage.errors import StoreError
from trainables.telemetry import read_pulse

_STARTING = 60.0
"""Seconds beyond the deadline that a worker process may take until its first sign of life."""
_LOOKS = 4
"""How often within a deadline the signs of life are read."""


@dataclass
class _Seen:
    """What was last heard of one piece of work."""

    changed: float
    """When its last sign of life was new to us, by our own clock: clocks of two machines are not compared."""
    beat: int = 0


class Watch:
    """Tells which trials and shared stage runs have not moved for `deadline` seconds; without one, none.

    A worker that hangs says itself for how long nothing has moved. One that says nothing any more (stopped, or cut
    off) counts as hanging, too.
    """

    def __init__(self, store: Store, study: str, deadline: float | None, *, clock: Clock = REAL) -> None:
        self._store, self._study, self.deadline = store, study, deadline
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._next = 0.0

    def begins(self, name: str) -> None:
        """Watch `name` from now on."""
        self._seen[name] = _Seen(self._clock.now())

    def ends(self, name: str) -> None:
        """Watch `name` no more."""
        self._seen.pop(name, None)

    def node(self, name: str) -> str | None:
        """Return the id of the node that the last sign of life of `name` came from, if there was one."""
        try:
            pulse = read_pulse(self._store, self._study, name)
        except StoreError:
            return None
        return None if pulse is None else str(pulse.get("node"))

    def late(self) -> list[str]:
        """Return what hangs, each once: it is watched no more."""
        now = self._clock.now()
        if self.deadline is None or now < self._next:
            return []
        self._next = now + self.deadline / _LOOKS
        hanging = [name for name, seen in self._seen.items() if self._hangs(name, seen, self.deadline)]
        for name in hanging:
            self.ends(name)
        return hanging

    def _hangs(self, name: str, seen: _Seen, deadline: float) -> bool:
        try:
            pulse = read_pulse(self._store, self._study, name)
        except StoreError:
            return False  # who cannot be heard is not therefore silent
        now = self._clock.now()
        if pulse is not None and pulse["beat"] != seen.beat:
            seen.beat, seen.changed = pulse["beat"], now
            return bool(pulse["idle"] >= deadline)
        return now - seen.changed >= deadline + (_STARTING if seen.beat == 0 else 0.0)
