"""The only retry loop: bounded, with random exponential backoff, so that clients do not retry at the same time."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_random = random.SystemRandom()  # not the global generator: a retry must not change the random numbers of a training


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often to retry. The defaults bridge an outage of a minute."""

    patience: float = 60.0
    """Seconds after the first failure in which another attempt may start."""
    first_wait: float = 0.2
    """Upper bound of the first wait in seconds. The bound doubles each time. A wait is at least half of its bound."""
    longest_wait: float = 5.0
    """Largest bound of a wait in seconds."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, action: Callable[[int], Result], *, transient: Callable[[Exception], bool]) -> Result:
        """Return `action(attempt)`; attempts count from 0. An error that is not `transient` is raised at once."""
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
                if attempt == 2:  # longer than a short disturbance
                    _log.warning("%s; trying again for up to %.0f s", error, deadline - self.clock())
            self.sleep(wait)
            attempt, bound = attempt + 1, min(self.longest_wait, 2 * bound)
