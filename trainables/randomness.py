"""Random streams named by what they are for, so that a resumed run draws what an uninterrupted one would have drawn.

Nothing of a random generator's state is ever stored: every epoch begins with streams made from seed, stage and epoch.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(*names: str | int) -> int:
    """Return a seed of 63 bits that depends on all `names` in their order."""
    return int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big") >> 1


class Streams:
    """The random generators of one epoch (0: before the first), by name.

    They draw on the CPU whatever trains, so that a result does not depend on the device.
    """

    def __init__(self, seed: int, stage: str, *, epoch: int) -> None:
        self._key = (seed, stage)
        self.epoch = epoch
        """From 1; 0 is before training."""
        self._generators: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        """Return this epoch's generator `name`; it goes on where the last use of it stopped."""
        if name not in self._generators:
            self._generators[name] = self._new(name, self.epoch)
        return self._generators[name]

    def lasting(self, name: str) -> torch.Generator:
        """Return a fresh generator that is the same in all epochs."""
        return self._new(name, 0)

    @contextmanager
    def as_default(self, name: str) -> Iterator[None]:
        """Let torch's default generator, which dropout and initialisation use, follow stream `name` for a while."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derived_seed(*self._key, name, self.epoch))
            yield

    def _new(self, name: str, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(*self._key, name, epoch))
