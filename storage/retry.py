"""The one retry loop: bounded, with exponential waits of random length, so that many clients do not return at once."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_random = random.SystemRandom()  # not the global generator: a retry must not change what a training run draws


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how patiently to try again. The defaults bridge a minute without the server, then give up."""

    patience: float = 60.0
    """Seconds from the first failure in which to begin another attempt."""
    first_wait: float = 0.2
    """Upper bound of the first wait in seconds; each further bound is twice the one before. Waits are at least half."""
    longest_wait: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, action: Callable[[int], Result], *, transient: Callable[[Exception], bool]) -> Result:
        """Return `action(attempt)`, attempts counted from 0; an error that is not `transient` is raised at once."""
        attempt, bound, deadline = 0, self.first_wait, 0.0
        while True:
            try:
                return action(attempt)
            except Exception as error:
                if not transient(error):
                    raise
                if attempt == 0:
                    deadline = self.clock() + self.patience
                wait = _random.uniform(bound / 2, bound)
                if self.clock() + wait > deadline:
                    raise
                if attempt == 2:  # no hiccup
                    _log.warning("%s; trying again for up to %.0f s", error, deadline - self.clock())
            self.sleep(wait)
            attempt, bound = attempt + 1, min(self.longest_wait, 2 * bound)
