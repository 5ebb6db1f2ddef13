"""Converts any frame times to an even frame rate: how often each frame is repeated."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from statistics import median

_MOST_PARTS = 3
"""Parts into which the shortest frame is divided in search of a common length."""
_SHORTEST = Fraction(1, 120)
"""Shortest common length that is accepted, in seconds."""


def frame_counts(seconds: Sequence[Fraction], *, rounding: Fraction) -> list[int]:
    """Return how often each frame must be repeated so that all copies last equally long, up to rounding.

    All 1 for an even rate, also if its times are rounded (120, 130, 120 ms). Frames that last a whole multiple of
    others are repeated: writers of GIF merge equal neighbours. For any other times, frames are sampled at the median
    length, so that some counts may be 0.

    Args:
        seconds: How long each frame is shown; 0 where that is unknown, which counts as one.
        rounding: By how many seconds a time in this format may differ from the true one.
    """
    times = [time for time in seconds if time > 0]
    if not times:
        return [1] * len(seconds)
    counts = _regular_counts(times, rounding)
    if counts is None:
        return _sampled(seconds, Fraction(median(times)))
    remaining = iter(counts)
    return [next(remaining) if time > 0 else 1 for time in seconds]


def _regular_counts(times: Sequence[Fraction], rounding: Fraction) -> list[int] | None:
    """Return how many frames of one length each time holds; None if that is unclear."""
    if max(times) - min(times) <= rounding:
        return [1] * len(times)
    candidates = list(_candidates(times, rounding))
    exact = (counts for counts in candidates if _lasts(times, counts, rounding))
    return next(exact, next((counts for counts in candidates if _follows_clock(times, counts)), None))


def _candidates(times: Sequence[Fraction], rounding: Fraction) -> Iterator[list[int]]:
    """Yield counts for a frame length of the shortest time, a half of it, a third, ..."""
    for parts in range(1, _MOST_PARTS + 1):
        length = min(times) / parts
        if length < max(3 * rounding, _SHORTEST):  # any time would be near a multiple
            return
        counts = [max(1, round(time / length)) for time in times]
        length = sum(times, Fraction(0)) / sum(counts)  # less rounded than the shortest time
        yield [max(1, round(time / length)) for time in times]


def _lasts(times: Sequence[Fraction], counts: Sequence[int], rounding: Fraction) -> bool:
    """Return whether every frame lasts as long as its count means, up to rounding."""
    length = sum(times) / sum(counts)
    return all(abs(time - count * length) <= rounding for time, count in zip(times, counts, strict=True))


def _follows_clock(times: Sequence[Fraction], counts: Sequence[int]) -> bool:
    """Return whether every frame ends close to its time at an even rate: cameras are not exact."""
    length = sum(times) / sum(counts)
    ends = zip(accumulate(times), accumulate(counts), strict=True)
    return all(abs(time - count * length) <= length / 2 for time, count in ends)


def _sampled(seconds: Sequence[Fraction], length: Fraction) -> list[int]:
    """Return how many of the middles of copies of `length` seconds lie in each frame's time."""
    total = sum(seconds)
    slots = max(1, round(total / length))
    passed = [round(end / total * slots) for end in accumulate(seconds)]
    return [after - before for before, after in zip([0, *passed], passed, strict=False)]
