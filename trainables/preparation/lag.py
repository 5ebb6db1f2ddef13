"""Takes the response to each clip from a run, and checks the delay between clips and BOLD."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clips import Frames

Doubles = NDArray[np.float64]

FIRST_SHIFT, LAST_SHIFT = -2, 6
"""Shifts of the lag curve, in volumes."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Alignment:
    """How the volumes of one run are mixed into the rows of its clips."""

    weights: Doubles
    """[clips, volumes]; a row sums to 1, or is zero where no volume is a response to the clip."""
    has_response: NDArray[np.bool_]
    """Clips whose response lies in the run, in volumes that count, [clips]."""
    largest_distance_s: float
    """Largest time in seconds between the response to a clip and the nearest volume."""

    def rows(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the row of each clip from volumes [volumes, columns]; zeros where there is no response."""
        return np.asarray(self.weights.astype(np.float32) @ values)


def volume_times(volumes: int, tr: float, *, start_s: float = 0.0, reference: float = 0.5) -> Doubles:
    """Return the time of each volume in seconds.

    Args:
        volumes: of the run.
        tr: seconds per volume.
        start_s: when the first volume began.
        reference: part of a volume that its values stand for: 0.5 is its middle, as without slice timing correction
            and in fMRIPrep by default; 0 its beginning, as after `--slice-time-ref 0`.

    Examples:
        >>> volume_times(3, 2.0).tolist()
        [1.0, 3.0, 5.0]
    """
    return np.asarray(start_s + (np.arange(volumes) + reference) * tr, np.float64)


def align_at_lag(
    times: Doubles, onsets: Doubles, durations: Doubles, *, lag_s: float, kept: NDArray[np.bool_] | None = None
) -> Alignment:
    """Take the response of a clip at its middle + `lag_s`, by linear interpolation between two volumes.

    A clip has no response if that time lies more than half a volume outside the run, or if a volume that is needed does
    not count.

    Args:
        times: of the volumes, see `volume_times`.
        onsets: of the clips, in seconds on the same clock.
        durations: of the clips, in seconds.
        lag_s: from the middle of a clip to its response.
        kept: volumes that count; None for all.
    """
    targets = onsets + durations / 2 + lag_s
    step = times[1] - times[0]
    position = (targets - times[0]) / step
    inside = (position >= -0.5 - 1e-9) & (position <= len(times) - 0.5 + 1e-9)
    clipped = position.clip(0, len(times) - 1)
    left = np.minimum(np.floor(clipped + 1e-9).astype(int), len(times) - 1)
    share = (clipped - left).clip(0, 1)
    right = np.minimum(left + 1, len(times) - 1)
    clips = np.arange(len(targets))
    weights = np.zeros((len(targets), len(times)))
    weights[clips, left] += 1 - share
    weights[clips, right] += share
    nearest = np.abs(position - clipped.round()) * step
    return _counted(weights, inside, kept, nearest)


def align_in_window(
    times: Doubles, onsets: Doubles, *, window_s: tuple[float, float], kept: NDArray[np.bool_] | None = None
) -> Alignment:
    """Take the mean of the volumes whose time is from onset + `window_s[0]` to onset + `window_s[1]`.

    A clip has no response if there is no such volume, or none that counts.
    """
    first, last = onsets[:, None] + window_s[0], onsets[:, None] + window_s[1]
    chosen = (times >= first - 1e-9) & (times <= last + 1e-9)
    if kept is not None:
        chosen &= kept
    counts = chosen.sum(axis=1, keepdims=True)
    weights = chosen / np.maximum(counts, 1)
    return _counted(weights, counts[:, 0] > 0, None, np.zeros(len(onsets)))


def _counted(
    weights: Doubles, inside: NDArray[np.bool_], kept: NDArray[np.bool_] | None, distance: Doubles
) -> Alignment:
    has_response = inside if kept is None else inside & ~(weights[:, ~kept] > 1e-9).any(axis=1)
    largest = float(distance[has_response].max()) if has_response.any() else 0.0
    return Alignment(np.where(has_response[:, None], weights, 0.0), has_response, largest)


def motion_energy(frames: Frames) -> float:
    """Return the mean squared difference of luminance between neighbouring frames of a clip [F, H, W, 3]."""
    luminance = frames.astype(np.float32) @ _LUMINANCE
    return float(np.square(np.diff(luminance, axis=0)).mean())


@dataclass(frozen=True)
class ShownRun:
    """Visual activity during one run, and the training clips that were shown in it."""

    times: Doubles
    """Of the volumes, in seconds."""
    activity: Doubles
    """Mean of visual voxels (V1 and MT, or the most repeatable ones), [volumes]."""
    onsets: Doubles
    durations: Doubles
    energy: Doubles
    """`motion_energy` of each clip."""


@dataclass(frozen=True)
class LagCheck:
    """Correlation of activity with the motion in clips, for each shift from clip to volume."""

    seconds: tuple[float, ...]
    correlation: tuple[float, ...]
    configured_s: float

    @property
    def peak_s(self) -> float:
        """The shift at which the correlation is highest."""
        return self.seconds[int(np.nanargmax(self.correlation))]

    @property
    def warning(self) -> str | None:
        """The warning if the peak is not at the configured lag; else None."""
        step = self.seconds[1] - self.seconds[0]
        if not np.isfinite(self.correlation).any():
            return "the lag cannot be checked: no clip moves, or the voxels are constant"
        if abs(self.peak_s - self.configured_s) <= step / 2 + 1e-9:
            return None
        return (
            f"BOLD follows the motion in the clips best {self.peak_s:+.3g} s after their middle "
            f"(r = {np.nanmax(self.correlation):.2f}), but the configured lag is {self.configured_s:+.3g} s; "
            "check trimmed volumes, onsets and the lag"
        )


def check_lag(runs: Sequence[ShownRun], *, lag_s: float) -> LagCheck:
    """Correlate the motion in training clips with visual activity, at shifts of -2 to +6 volumes.

    The lag is that from the middle of a clip. The logarithm of energies is used, so that
    a few cuts and fast clips do not dominate.

    Raises:
        ValueError: There is no run.
    """
    if not runs:
        raise ValueError("the lag cannot be checked: there is no run with training clips")
    step = float(runs[0].times[1] - runs[0].times[0])
    shifts = tuple(round(shift * step, 6) for shift in range(FIRST_SHIFT, LAST_SHIFT + 1))
    return LagCheck(shifts, tuple(_correlation(runs, shift) for shift in shifts), lag_s)


def _correlation(runs: Sequence[ShownRun], lag_s: float) -> float:
    energies, responses = [], []
    for run in runs:
        alignment = align_at_lag(run.times, run.onsets, run.durations, lag_s=lag_s)
        energies.append(np.log1p(run.energy[alignment.has_response]))
        responses.append((alignment.weights @ run.activity)[alignment.has_response])
    energy, response = np.concatenate(energies), np.concatenate(responses)
    if len(energy) < 3 or np.ptp(energy) == 0 or np.ptp(response) == 0:
        return float("nan")
    return float(np.corrcoef(energy, response)[0, 1])
