"""The C library's allocator: what a stage frees is kept for its next layer, and given back when the stage ends."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The parameters' numbers in glibc's malloc.h (mallopt(3))."""
_KEPT = 256 << 20
"""Free bytes at the end of the heap that are kept."""
_LARGEST = 32 << 20
"""Blocks above this size come from the system and go back to it, one by one. It is the most that glibc allows."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this process, up to 256 MiB, and give all of it back at the end.

    By default glibc keeps little of it, at most twice the largest block freed so far. A network asks for its maps anew
    with every layer, and the system clears each page of them: the features of the phantom took a third more time for
    that. Does nothing with another C library.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_TRIM_THRESHOLD, _KEPT)
    library.mallopt(_MMAP_THRESHOLD, _LARGEST)
    try:
        yield
    finally:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """Return the C library of this process if it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
