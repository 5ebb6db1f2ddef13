"""Volumes that follow the one that answers a clip, and all volumes of a split: pure functions of onsets and runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Runs = Sequence[tuple[int, int]]


def windows_of(volumes: Doubles, runs: Runs, groups: NDArray[np.int64], *, window: int) -> Doubles:
    """Return for each presentation the volume that answers it and those after it, [N, repeats, window].

    A window ends with the run, and before the first volume that answers a clip of another group. Its last volume is
    then repeated, as Mind-Video does at the end of a segment. Without the second rule, a window would hold the answer
    to a clip of another split.

    Args:
        volumes: The volume that answers each presentation, [N, repeats]; -1 for none; a fraction lies between two.
        runs: First and end volume of each run.
        groups: The group of each clip, [N]: clips with the same number may stand in one window.
        window: Number of volumes, at least 1.
    """
    last = np.full(volumes.shape, window - 1, dtype=np.int64)
    for start, end in runs:
        inside = (volumes >= start) & (volumes < end)
        clips, _ = np.nonzero(inside)
        answers = volumes[inside]
        bounds = np.minimum(end, _next_of_another_group(answers, groups[clips]))
        steps = np.ceil(bounds - np.ceil(answers)) - 1  # ceil(answer + k) < bound
        last[inside] = np.clip(steps, 0, window - 1).astype(np.int64)
    steps = np.minimum(np.arange(window), last[..., None])
    return np.where(volumes[..., None] >= 0, volumes[..., None] + steps, -1.0)


def _next_of_another_group(answers: Doubles, groups: NDArray[np.int64]) -> Doubles:
    """Return the first volume that an answer to a clip of another group takes, after each of `answers` [n]."""
    order = np.argsort(answers, kind="stable")
    ordered, named = answers[order], groups[order]
    result = np.full(len(answers), np.inf)
    following = np.inf
    for place in range(len(order) - 2, -1, -1):
        if named[place] != named[place + 1]:
            following = np.floor(ordered[place + 1])
        result[order[place]] = following
    return result


def volumes_of_split(
    onsets: Doubles, volumes: Doubles, runs: Runs, is_member: NDArray[np.bool_], *, count: int
) -> NDArray[np.bool_]:
    """Return which of `count` volumes belong to the member clips alone, [count].

    A volume belongs to a split if the last clip that was shown and the last clip that was answered before or at it are
    clips of the split; at the beginning of a run, the first clip counts for both. So no volume is taken that a clip of
    another split has begun to drive, or that answers one.

    Args:
        onsets: The volume of each presentation, [N, repeats]; -1 for none.
        volumes: The volume that answers it, [N, repeats]; -1 for none.
        runs: First and end volume of each run.
        is_member: Whether each clip belongs to the split, [N].
        count: Number of volumes.
    """
    result = np.zeros(count, dtype=np.bool_)
    for start, end in runs:
        inside = (onsets >= start) & (onsets < end)
        clips, _ = np.nonzero(inside)
        if len(clips) == 0:
            continue
        times = np.arange(start, end)
        shown = _is_last_a_member(np.floor(onsets[inside]), is_member[clips], times)
        answered = inside & (volumes >= 0)
        heard, _ = np.nonzero(answered)
        begin = is_member[clips[np.argmin(onsets[inside])]]
        given = _is_last_a_member(np.floor(volumes[answered]), is_member[heard], times, before=bool(begin))
        result[start:end] = shown & given
    return result


def _is_last_a_member(
    events: Doubles, is_member: NDArray[np.bool_], times: NDArray[np.int64], *, before: bool | None = None
) -> NDArray[np.bool_]:
    """Return for each of `times` whether the last event at or before it is a member's.

    `before` is what holds before the first event; by default what holds at it.
    """
    order = np.argsort(events, kind="stable")
    ordered = is_member[order]
    place = np.searchsorted(events[order], times, side="right") - 1
    early = bool(ordered[0]) if before is None else before
    known = np.concatenate(([early], ordered))
    return np.asarray(known[place + 1], dtype=np.bool_)


def next_clips(onsets: Doubles, runs: Runs, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clip that was shown after the first presentation of each clip, [N]; -1 for none.

    There is none if the clip was not shown, if its run ends with it, or if the next clip is of another group.

    Args:
        onsets: The volume of each presentation, [N, repeats]; -1 for none.
        runs: First and end volume of each run.
        groups: The group of each clip, [N].
    """
    result = np.full(len(onsets), -1, dtype=np.int64)
    clips, repeats = np.nonzero(onsets >= 0)
    order = np.argsort(onsets[clips, repeats], kind="stable")
    clips, repeats = clips[order], repeats[order]
    run = np.searchsorted([end for _, end in runs], onsets[clips, repeats], side="right")
    is_first = repeats == np.argmax(onsets >= 0, axis=1)[clips]
    joined = is_first[:-1] & (run[:-1] == run[1:]) & (groups[clips[:-1]] == groups[clips[1:]])
    result[clips[:-1][joined]] = clips[1:][joined]
    return result
