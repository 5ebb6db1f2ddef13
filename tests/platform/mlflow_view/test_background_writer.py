"""The thread that writes for others."""

import logging
import threading
import time

import pytest

from platform.mlflow_view.background_writer import BackgroundWriter
from tests.clocks import SetClock


def test_items_arrive_once_in_order_and_in_batches() -> None:
    batches: list[list[int]] = []
    writer = BackgroundWriter(batches.append, name="test", pause=0.05)
    for item in range(1000):
        writer.put(item)
    assert writer.close() == []
    assert [item for batch in batches for item in batch] == list(range(1000))
    assert len(batches) < 50


def test_what_is_put_together_is_written_together() -> None:
    batches: list[list[int]] = []
    writer = BackgroundWriter(batches.append, name="test", pause=0.0)
    item = 0
    while len(batches) < 20:  # as many as it takes, so that batches end between the puts
        writer.put(item, item + 1)
        item += 2
    assert writer.close() == []
    assert all(len(batch) % 2 == 0 for batch in batches)


def test_putting_never_waits_for_a_slow_destination() -> None:
    released = threading.Event()

    def write(items: list[int]) -> None:
        released.wait(10)

    writer = BackgroundWriter(write, name="test", pause=0.01)
    began = time.monotonic()
    for item in range(100):
        writer.put(item)
        time.sleep(0.001)
    assert time.monotonic() - began < 5
    released.set()
    assert writer.close() == []


def test_what_fails_is_kept_told_once_and_written_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    written: list[int] = []
    down, tried = threading.Event(), threading.Semaphore(0)
    down.set()

    def write(items: list[int]) -> None:
        if down.is_set():
            tried.release()
            raise ConnectionError("gone")
        written.extend(items)

    with caplog.at_level(logging.WARNING):
        writer = BackgroundWriter(write, name="Elsewhere", pause=0.02)
        for item in range(5):
            writer.put(item)
            assert tried.acquire(timeout=30)
        down.clear()
        assert writer.close() == []
    assert written == list(range(5))
    assert caplog.text.count("Elsewhere does not answer") == 1


def test_close_returns_what_could_not_be_written() -> None:
    def write(items: list[int]) -> None:
        raise ConnectionError("gone for good")

    clock = SetClock()
    writer = BackgroundWriter(write, name="test", pause=0.01, patience=20.0, clock=clock)
    writer.put(1)
    writer.put(2)
    assert writer.close() == [1, 2]
    assert 20 <= clock.time < 25, "it was tried for as long as the patience lasts, and no longer"
