"""How many threads numeric libraries use: as many as the work was granted cores, whatever the user's shell says.

Another number may sum in another order, which changes the last digits of a result.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from storage.environment import with_variable

_VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that libraries read when they are loaded. Ray sets it for a worker if nobody else did."""


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Limit numeric libraries to `count` threads: those that are loaded, and those that will be."""
    with with_variable(_VARIABLE, str(count)), threadpool_limits(count):
        yield


def limit_loaded() -> None:
    """Limit the libraries that are loaded by now to the number of the environment variable, or else to 1."""
    text = os.environ.get(_VARIABLE, "")
    count = int(text) if text.isdecimal() and int(text) > 0 else 1
    threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(count)


@contextmanager
def one_core() -> Iterator[None]:
    """Let PyTorch use one core, so that no sum depends on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
