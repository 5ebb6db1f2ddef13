import logging
import random

import pytest

from storage.retry import RetryPolicy


class Clock:
    """Time that passes only while somebody sleeps, or as told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def always(attempt: int) -> None:
    raise OSError(attempt)


def test_succeeds_once_and_is_not_repeated() -> None:
    calls: list[int] = []
    RetryPolicy().call(calls.append, transient=lambda _: True)
    assert calls == [0]


def test_waits_grow_are_bounded_and_jittered() -> None:
    clock = Clock()
    retry = RetryPolicy(patience=20.0, first_wait=1.0, longest_wait=4.0, sleep=clock.sleep, clock=clock)
    state = random.getstate()
    with pytest.raises(OSError, match=r"\d"):
        retry.call(always, transient=lambda _: True)
    bounds = [1, 2] + [4] * (len(clock.waits) - 2)
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(clock.waits, bounds, strict=True))
    assert len(set(clock.waits)) == len(clock.waits)
    assert 20.0 - 4.0 < clock.now <= 20.0
    assert random.getstate() == state


def test_the_defaults_bridge_a_minute_and_no_more() -> None:
    clock = Clock()

    def until(end: float) -> int:
        def act(attempt: int) -> int:
            if clock.now < end:
                raise OSError
            return attempt

        clock.now = 0.0
        return RetryPolicy(sleep=clock.sleep, clock=clock).call(act, transient=lambda _: True)

    assert 10 < until(55.0) < 30
    with pytest.raises(OSError):  # noqa: PT011
        until(61.0)


def test_patience_counts_from_the_first_failure() -> None:
    """An answer that took half a minute to fail is not the end of all patience."""
    clock = Clock()

    def slow(attempt: int) -> int:
        clock.now += 30.0
        if attempt == 0:
            raise OSError
        return attempt

    assert RetryPolicy(patience=10.0, sleep=clock.sleep, clock=clock).call(slow, transient=lambda _: True) == 1


def test_stops_at_what_is_not_transient() -> None:
    calls: list[int] = []

    def fail(attempt: int) -> None:
        calls.append(attempt)
        raise OSError if attempt == 0 else ValueError("permanent")

    with pytest.raises(ValueError, match="permanent"):
        RetryPolicy(sleep=lambda _: None).call(fail, transient=lambda error: isinstance(error, OSError))
    assert calls == [0, 1]


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match=r"\d"):
        RetryPolicy(sleep=clock.sleep, clock=clock).call(always, transient=lambda _: True)
    (record,) = caplog.records
    assert "trying again for up to " in record.getMessage()
