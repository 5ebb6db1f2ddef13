import random

import pytest

from storage.retry import Retry


def test_succeeds_once_and_is_not_repeated() -> None:
    calls: list[int] = []
    Retry().call(calls.append, transient=lambda _: True)
    assert calls == [0]


def test_waits_grow_are_bounded_and_jittered() -> None:
    waits: list[float] = []
    retry = Retry(attempts=9, first_wait=1.0, longest_wait=4.0, sleep=waits.append)

    def fail(attempt: int) -> None:
        raise OSError(attempt)

    state = random.getstate()
    with pytest.raises(OSError, match="8"):
        retry.call(fail, transient=lambda _: True)
    assert len(waits) == 8
    assert all(0 <= wait <= bound for wait, bound in zip(waits, [1, 2, 4, 4, 4, 4, 4, 4], strict=True))
    assert len(set(waits)) == 8
    assert random.getstate() == state


def test_stops_at_what_is_not_transient() -> None:
    calls: list[int] = []

    def fail(attempt: int) -> None:
        calls.append(attempt)
        raise OSError if attempt == 0 else ValueError("permanent")

    with pytest.raises(ValueError, match="permanent"):
        Retry(sleep=lambda _: None).call(fail, transient=lambda error: isinstance(error, OSError))
    assert calls == [0, 1]
