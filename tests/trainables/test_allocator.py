"""What a stage frees is kept for its next layer, and given back when it ends. Page faults are counted, not time."""

import resource
import sys
from unittest.mock import patch

import numpy as np
import psutil
import pytest

from trainables import allocator
from trainables.allocator import freed_memory_kept

BLOCK = 20 << 20
"""Bytes of a map: below what goes to the system and back one by one."""
PAGES = BLOCK // 4096

pytestmark = pytest.mark.skipif(allocator._glibc() is None, reason="another C library than glibc")


def faults_of_maps(count: int) -> int:
    """Return the page faults of as many maps, each freed before the next, after a first one."""
    np.ones(BLOCK, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.ones(BLOCK, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_the_next_map_gets_the_memory_of_the_last() -> None:
    with freed_memory_kept():
        assert faults_of_maps(10) < PAGES  # ten times as many, where each of them comes from the system


def resident_when_maps_were_freed() -> int:
    maps = [np.ones(BLOCK, np.uint8) for _ in range(8)]
    del maps
    return int(psutil.Process().memory_info().rss)


def test_at_the_end_it_is_given_back() -> None:
    with freed_memory_kept():
        kept = resident_when_maps_were_freed()
    assert psutil.Process().memory_info().rss < kept - 4 * BLOCK


def test_the_memory_of_a_failed_stage_is_given_back_too() -> None:
    kept: list[int] = []

    def fail() -> None:
        with freed_memory_kept():
            kept.append(resident_when_maps_were_freed())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert psutil.Process().memory_info().rss < kept[0] - 4 * BLOCK


def test_another_c_library_is_left_alone() -> None:
    with patch.object(sys, "platform", "darwin"):
        assert allocator._glibc.__wrapped__() is None
    with patch.object(allocator, "_glibc", return_value=None), freed_memory_kept():
        pass
