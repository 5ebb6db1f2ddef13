"""What counts as hanging: silence, and signs of life that say that nothing moves."""

import json
from pathlib import Path

import pytest

from platform.run.stalls import StallDetector
from storage import layout
from storage.errors import UnavailableError
from storage.memory import MemoryStore
from tests.clocks import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def beat(store: MemoryStore, number: int, idle: float, *, name: str = "t0000") -> None:
    sign = {"beat": number, "idle": idle, "time": 0.0, "epoch": 0, "metrics": {}, "usage": {}}
    store.put(layout.pulse("study", name), json.dumps(sign).encode(), replace=True)


def test_what_moves_is_never_late(clock: SetClock) -> None:
    store = MemoryStore()
    stalls = StallDetector(store, "study", 10.0, clock=clock)
    stalls.watch("t0000")
    for number in range(1, 100):
        clock.time += 2.5
        beat(store, number, idle=(number % 3) * 2.5)
        assert stalls.stalled() == []


def test_a_worker_that_says_that_nothing_moves_is_late_once(clock: SetClock) -> None:
    store = MemoryStore()
    stalls = StallDetector(store, "study", 10.0, clock=clock)
    stalls.watch("t0000")
    clock.time = 12.0
    beat(store, 4, idle=11.0)
    assert stalls.stalled() == ["t0000"]
    clock.time = 24.0
    assert stalls.stalled() == []


def test_a_worker_that_falls_silent_is_late(clock: SetClock) -> None:
    store = MemoryStore()
    stalls = StallDetector(store, "study", 10.0, clock=clock)
    stalls.watch("t0000")
    beat(store, 1, idle=0.0)
    clock.time = 3.0
    assert stalls.stalled() == []
    clock.time = 12.0
    assert stalls.stalled() == []
    clock.time = 15.0
    assert stalls.stalled() == ["t0000"]


def test_a_process_may_take_its_time_to_start(clock: SetClock) -> None:
    stalls = StallDetector(MemoryStore(), "study", 10.0, clock=clock)
    stalls.watch("t0000")
    clock.time = 60.0
    assert stalls.stalled() == []
    clock.time = 71.0
    assert stalls.stalled() == ["t0000"]


def test_what_has_ended_and_what_has_no_deadline_is_not_watched(clock: SetClock) -> None:
    ended, endless = (
        StallDetector(MemoryStore(), "study", 10.0, clock=clock),
        StallDetector(MemoryStore(), "study", None, clock=clock),
    )
    ended.watch("t0000")
    endless.watch("t0000")
    ended.unwatch("t0000")
    clock.time = 1e6
    assert (ended.stalled(), endless.stalled()) == ([], [])


def test_a_store_that_is_away_makes_nobody_late(clock: SetClock) -> None:
    class Away(MemoryStore):
        def get(self, key: str) -> bytes:
            raise UnavailableError("away")

    stalls = StallDetector(Away(), "study", 10.0, clock=clock)
    stalls.watch("t0000")
    clock.time = 1e6
    assert stalls.stalled() == []


def test_a_deadline_of_shared_work_is_found_by_its_identity(clock: SetClock, tmp_path: Path) -> None:
    store = MemoryStore()
    stalls = StallDetector(store, "study", 10.0, clock=clock)
    stalls.watch("features-0123456789abcdef")
    beat(store, 1, idle=99.0, name="features-0123456789abcdef")
    clock.time = 5.0
    assert stalls.stalled() == ["features-0123456789abcdef"]
