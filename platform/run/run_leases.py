"""Leases of stage runs: no two trials, of this or of another driver, execute the same stage run at the same time."""

from collections.abc import Iterable

from storage.base import Store
from storage.errors import LeaseHeldError
from storage.lease import Lease
from storage.runs import RunStore


class RunLeases:
    """The stage runs that this driver's trials and tasks execute, each under a lease in the store.

    The driver takes the lease before it hands the run to a worker, so no worker waits for a lease.
    """

    def __init__(self, store: Store, runs: RunStore) -> None:
        self._store = store
        self._runs = runs
        self._held: dict[str, dict[str, Lease]] = {}
        self._stored: set[str] = set()
        self._watched: dict[str, Lease] = {}
        """Leases that other drivers hold. Each keeps its last observation, from which the next call sees renewals."""

    def acquire(self, owner: str, identities: Iterable[str]) -> bool:
        """Take leases for `owner` on all `identities` that are not stored yet.

        If another owner holds one of them, take none and return False.
        """
        leases: dict[str, Lease] = {}
        self._held[owner] = leases
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
        try:
            return self._watched.setdefault(identity, Lease(self._store, f"run-{identity}")).attempt()
        except LeaseHeldError:
            return False

    def release(self, owner: str) -> None:
        """Release the leases of `owner`."""
        for lease in self._held.pop(owner, {}).values():
            lease.release()

    def close(self) -> None:
        """Release all leases."""
        for owner in tuple(self._held):
            self.release(owner)

    def _is_stored(self, identity: str) -> bool:
        if identity not in self._stored and self._runs.find(identity) is not None:
            self._stored.add(identity)
        return identity in self._stored

    def _is_ours(self, identity: str) -> bool:
        return any(identity in leases for leases in self._held.values())
