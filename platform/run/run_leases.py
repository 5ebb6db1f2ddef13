"""Who makes which stage run now: no two trials, of this study or another driver's, make the same one at once."""

from collections.abc import Iterable

from storage.base import Store
from storage.errors import LeaseHeldError
from storage.lease import Lease
from storage.runs import RunStore


class Claims:
    """The stage runs that this driver's trials and tasks are making, each under a lease in the store.

    The driver claims a run before it hands it to a worker, so no worker ever waits for one.
    """

    def __init__(self, store: Store, runs: RunStore) -> None:
        self._store = store
        self._runs = runs
        self._held: dict[str, dict[str, Lease]] = {}
        self._stored: set[str] = set()
        self._watched: dict[str, Lease] = {}
        """Runs that others make, with what was seen of them: whether these live shows from one call to the next."""

    def take(self, owner: str, identities: Iterable[str]) -> bool:
        """Claim all `identities` that are not stored yet for `owner`; claim none and return False if one is taken."""
        mine: dict[str, Lease] = {}
        self._held[owner] = mine
        for identity in identities:
            if self._is_stored(identity):
                continue
            if not self._is_ours(identity) and self._attempt(identity):
                mine[identity] = self._watched.pop(identity)
                continue
            self.drop(owner)
            return False
        return True

    def _attempt(self, identity: str) -> bool:
        """Tell whether the lease of a run is ours now, without waiting for it."""
        try:
            return self._watched.setdefault(identity, Lease(self._store, f"run-{identity}")).attempt()
        except LeaseHeldError:
            return False

    def drop(self, owner: str) -> None:
        """Give back what `owner` claimed."""
        for lease in self._held.pop(owner, {}).values():
            lease.release()

    def close(self) -> None:
        """Give back everything."""
        for owner in tuple(self._held):
            self.drop(owner)

    def _is_stored(self, identity: str) -> bool:
        if identity not in self._stored and self._runs.find(identity) is not None:
            self._stored.add(identity)
        return identity in self._stored

    def _is_ours(self, identity: str) -> bool:
        return any(identity in leases for leases in self._held.values())
