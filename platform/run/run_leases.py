"""Leases of stage runs: no two trials, of this or of another driver, execute the same stage run at the same time."""

import logging
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from storage.base import Store
from storage.checkpoints import with_checkpoints
from storage.clock import REAL, Clock
from storage.errors import LeaseHeldError, StoreError
from storage.lease import Lease
from storage.runs import RunStore

_log = logging.getLogger(__name__)
_LOOK = 1.0
"""Seconds between two looks at the lease of another driver. It is asked for about ten times a second."""


class RunLeases:
    """The stage runs that this driver's trials and tasks execute, each under a lease in the store.

    The driver takes the lease before it hands the run to a worker, so no worker waits for a lease.
    """

    def __init__(self, store: Store, runs: RunStore, *, clock: Clock = REAL) -> None:
        """Create no lease yet; `clock` measures how long the holder of another's is not asked for again."""
        self._store = store
        self._clock = clock
        self._runs = runs
        self._held: dict[str, dict[str, Lease]] = {}
        self._stored: set[str] = set()
        self._watched: dict[str, Lease] = {}
        """Leases that other drivers hold. Each keeps its last observation, from which the next call sees renewals."""
        self._next_look: dict[str, float] = {}
        """Run of another driver to the time before which its lease is not looked at again."""
        self._abandoned: set[str] = set()
        self._remover: ThreadPoolExecutor | None = None

    def acquire(self, owner: str, identities: Iterable[str]) -> bool:
        """Take leases for `owner` on all `identities` that are not stored yet.

        If another owner holds one of them, take none and return False.
        """
        # Those of others first: while one is held, nothing else is asked of the store.
        identities = sorted(identities, key=lambda identity: identity not in self._next_look)
        if any(self._is_ours(identity) or self._was_held(identity) for identity in identities):
            return False
        leases: dict[str, Lease] = {}
        self._held[owner] = leases
        self._abandoned.difference_update(identities)
        for identity in identities:
            if self._is_stored(identity):
                continue
            if not self._is_ours(identity) and self._attempt(identity):
                leases[identity] = self._watched.pop(identity)
                continue
            self.release(owner)
            return False
        return True

    def _attempt(self, identity: str) -> bool:
        """Try to take the lease of a run without waiting; return whether this driver holds it."""
        lease = self._watched.setdefault(identity, Lease(self._store, f"run-{identity}"))
        with suppress(LeaseHeldError):
            if lease.attempt():
                self._next_look.pop(identity, None)
                return True
        self._next_look[identity] = self._clock.now() + _LOOK
        return False

    def _was_held(self, identity: str) -> bool:
        """Return whether another driver held the lease of `identity` a moment ago."""
        return self._clock.now() < self._next_look.get(identity, -math.inf)

    def release(self, owner: str) -> None:
        """Release the leases of `owner`."""
        for lease in self._held.pop(owner, {}).values():
            lease.release()

    def held(self, owner: str) -> frozenset[str]:
        """Return the identities on which `owner` has leases."""
        return frozenset(self._held.get(owner, {}))

    def abandon(self, identities: Iterable[str]) -> None:
        """Remove, in a thread, the checkpoints of stage runs that no trial will finish."""
        if self._remover is None:
            self._remover = ThreadPoolExecutor(1, "checkpoints")
        for identity in identities:
            self._abandoned.add(identity)
            self._remover.submit(self._remove_checkpoints, identity)

    def close(self) -> None:
        """Release all leases. Call it when no worker runs any more."""
        for owner in tuple(self._held):
            self.release(owner)
        if self._remover is not None:
            self._remover.shutdown()
        self._remove_late()

    def _remove_late(self) -> None:
        """Remove checkpoints that workers wrote while their trial was stopped, and those of finished stage runs.

        The latter are left if a process is killed before it removes them. They are not needed.
        """
        try:
            for identity in with_checkpoints(self._store):
                if identity in self._abandoned or self._runs.find(identity) is not None:
                    self._runs.checkpoints(identity).clear()
        except StoreError as error:
            _log.info("%s", error)

    def _remove_checkpoints(self, identity: str) -> None:
        """Remove checkpoints, unless the store does not answer: what stays is left to `python -m storage.gc`."""
        if identity not in self._abandoned:
            return
        try:
            self._runs.checkpoints(identity).clear()
        except StoreError as error:
            self._abandoned.clear()  # each of them would wait for the store
            _log.info("the checkpoints of %s stay: %s", identity, error)

    def _is_stored(self, identity: str) -> bool:
        if identity not in self._stored and self._runs.find(identity) is not None:
            self._stored.add(identity)
        return identity in self._stored

    def _is_ours(self, identity: str) -> bool:
        return any(identity in leases for leases in self._held.values())
