"""From the times of frames to how often each is shown at an even rate."""

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.datasets.frame_times import frame_counts

GIF, VIDEO = 10, 1
"""Milliseconds to which times are rounded."""


def counts(milliseconds: list[int], rounding: int) -> list[int]:
    return frame_counts([Fraction(time, 1000) for time in milliseconds], rounding=Fraction(rounding, 1000))


@given(st.integers(4, 50), st.integers(2, 200), st.sampled_from([GIF, VIDEO]))
def test_an_even_rate_stays_as_it_is_however_its_times_are_rounded(rate: int, frames: int, unit: int) -> None:
    starts = [round(1000 * index / rate / unit) * unit for index in range(frames + 1)]
    assert counts([after - before for before, after in pairwise(starts)], unit) == [1] * frames


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(1, 3), st.sampled_from([40, 50, 100, 250]))
def test_merged_frames_are_repeated_in_proportion(others: list[int], shortest: int, length: int) -> None:
    merged = [*others, shortest]
    found = counts([length * count for count in merged], VIDEO)
    assert [Fraction(count, found[0]) for count in found] == [Fraction(count, merged[0]) for count in merged]


@given(st.lists(st.integers(1, 2000), min_size=3, max_size=60))
def test_any_other_times_are_followed_within_half_a_frame(times: list[int]) -> None:
    """Every frame ends near its own time; rounding adds up."""
    found = counts(times, VIDEO)
    length = Fraction(sum(times), sum(found))
    drift = max(abs(count * length - time) for count, time in zip(accumulate(found), accumulate(times), strict=True))
    assert drift <= max(length / 2, Fraction(VIDEO * len(times)))


@pytest.mark.parametrize(
    ("times", "rounding", "expected"),
    [
        ([53, 41, 42, 42, 41, 42] + [41, 42, 42] * 20, VIDEO, [1] * 66),
        ([80, 80, 40], GIF, [2, 2, 1]),
        ([120] * 15 + [500], GIF, [1] * 15 + [4]),
        ([33, 67, 33, 33, 34], VIDEO, [1, 2, 1, 1, 1]),
        ([100, 100, 300], GIF, [1, 1, 3]),
        ([250, 1750], GIF, [1, 7]),
        ([0, 0, 0], GIF, [1, 1, 1]),
        ([100, 0, 100], GIF, [1, 1, 1]),
        ([40, 1, 39, 40, 40], VIDEO, [1, 0, 1, 1, 1]),
        ([500], GIF, [1]),
    ],
    ids=[
        "odd start",
        "short end",
        "odd end",
        "dropped",
        "held",
        "still",
        "no times",
        "one unknown",
        "a glitch",
        "one frame",
    ],
)
def test_cases(times: list[int], rounding: int, expected: list[int]) -> None:
    assert counts(times, rounding) == expected
