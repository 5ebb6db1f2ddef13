"""How often work is tried again after each cause of failure: trials, shared stage runs and parts of a data set."""

from collections import Counter
from collections.abc import Hashable, Mapping

from trainables.failure import Cause

RETRIES: Mapping[Cause, int] = {
    "WORKER_LOST": 2,
    "NODE_LOST": 2,
    "STORE_LOST": 2,
    "NETWORK": 2,
    "DEVICE_LOST": 1,
    "OUT_OF_MEMORY": 1,
}
"""How often work is retried after each cause of failure. Causes that are not listed are never retried.

A lost worker, node, store or connection may be there again at the next attempt, and a lost device in another process.
Another process may have used the memory, so OUT_OF_MEMORY is retried once. Divergence, stalls, errors of the code and a
full disk would happen again.
"""


class RetryCounts:
    """The retries of Ray tasks, each counted by its cause.

    Ray's own retries are not counted by cause, and after too little memory they have no bound. Its tasks therefore have
    `max_retries=0`.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[Hashable, Cause]] = Counter()

    def allow(self, work: Hashable, cause: Cause) -> bool:
        """Return whether `work`, which failed because of `cause`, may be tried again; if so, count it."""
        if self._counts[work, cause] >= RETRIES.get(cause, 0):
            return False
        self._counts[work, cause] += 1
        return True
