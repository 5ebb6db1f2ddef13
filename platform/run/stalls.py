"""Finds stalled work: trials and stage runs without a new epoch or stage for too long, by their pulses in the store."""

from contextlib import suppress
from dataclasses import dataclass

from storage.base import Store
from storage.clock import REAL, Clock
from storage.errors import StoreError
from trainables.telemetry import delete_pulse, read_pulse

_STARTING = 60.0
"""Seconds beyond the deadline that a worker process may take until its first pulse."""
_LOOKS = 4
"""How often the pulses are read within one deadline."""


@dataclass
class _LastPulse:
    """The last observed pulse of a trial or stage run."""

    changed: float
    """When the last change was observed, by the driver's clock: clocks of two machines are not compared."""
    beat: int = 0


class StallDetector:
    """Finds trials and shared stage runs without progress for `deadline` seconds; with None, it finds none.

    A worker reports the time for which its stage has made no progress. A worker that sends no pulse any more (it was
    stopped, or cannot reach the store) counts as stalled, too.
    """

    def __init__(self, store: Store, study: str, deadline: float | None, *, clock: Clock = REAL) -> None:
        self._store, self._study, self.deadline = store, study, deadline
        self._clock = clock
        self._last: dict[str, _LastPulse] = {}
        self._next = 0.0

    def watch(self, name: str) -> None:
        """Watch `name` from now on."""
        self._last[name] = _LastPulse(self._clock.now())

    def unwatch(self, name: str) -> None:
        """Stop watching `name`."""
        self._last.pop(name, None)

    def forget(self, name: str) -> None:
        """Stop watching `name`, and delete its last pulse: it will be started again."""
        self.unwatch(name)
        with suppress(StoreError):
            delete_pulse(self._store, self._study, name)

    def node(self, name: str) -> str | None:
        """Return the id of the node that sent the last pulse of `name`; None without a pulse."""
        try:
            pulse = read_pulse(self._store, self._study, name)
        except StoreError:
            return None
        return None if pulse is None else str(pulse.get("node"))

    def stalled(self) -> list[str]:
        """Return the stalled trials and stage runs. Each is returned once and then no longer watched."""
        now = self._clock.now()
        if self.deadline is None or now < self._next:
            return []
        self._next = now + self.deadline / _LOOKS
        names = [name for name, last in self._last.items() if self._is_stalled(name, last, self.deadline)]
        for name in names:
            self.unwatch(name)
        return names

    def _is_stalled(self, name: str, last: _LastPulse, deadline: float) -> bool:
        try:
            pulse = read_pulse(self._store, self._study, name)
        except StoreError:
            return False  # a pulse that cannot be read does not mean that the worker is stalled
        now = self._clock.now()
        if pulse is not None and pulse["beat"] != last.beat:
            last.beat, last.changed = pulse["beat"], now
            return bool(pulse["idle"] >= deadline)
        return now - last.changed >= deadline + (_STARTING if last.beat == 0 else 0.0)
