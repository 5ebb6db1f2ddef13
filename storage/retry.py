"""The one retry loop: bounded, with exponential waits of random length, so that many clients do not return at once."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_random = random.SystemRandom()  # not the global generator: a retry must not change what a training run draws


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try again. The defaults give up after four tries and at most 1.4 s of waiting."""

    attempts: int = 4
    first_wait: float = 0.2
    """Upper bound of the first wait in seconds; each further bound is twice the one before."""
    longest_wait: float = 5.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, action: Callable[[int], Result], *, transient: Callable[[Exception], bool]) -> Result:
        """Return `action(attempt)`, attempts counted from 0; an error that is not `transient` is raised at once."""
        for attempt in range(self.attempts - 1):
            try:
                return action(attempt)
            except Exception as error:
                if not transient(error):
                    raise
            self.sleep(_random.uniform(0.0, min(self.longest_wait, self.first_wait * 2**attempt)))
        return action(self.attempts - 1)
