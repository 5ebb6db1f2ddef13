"""The phantom's brain: simulates BOLD from the drives of its voxels.

Early areas respond to the first frame's local colour and contrast, MT and MST to motion, V4, LO and TPOJ to colour and
to what the clip shows. Every voxel belongs to one area and has a receptive field, preferences and a haemodynamic
delay of its own, drawn anew for each subject.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.phantom.drives import CHANNEL_SHAPES, DRIVES
from trainables.datasets.phantom.schedule import Schedule

Floats = NDArray[np.float32]
Random = np.random.Generator

TR = 2.0
"""Seconds per volume; a clip lasts one volume."""
LAG_TR = 2
"""Volumes from a clip's onset to the peak of its response."""


@dataclass(frozen=True)
class Area:
    """One ROI: its share of the voxels, and their drives."""

    size: float
    """Share of all voxels."""
    drives: Mapping[str, float]
    """Drive to its mean share of the signal's variance."""
    field: float
    """Receptive field: standard deviation of a Gaussian, in frame sides."""


AREAS: Mapping[str, Area] = {
    "V1": Area(0.22, {"image": 0.5, "contrast": 0.5}, 0.05),
    "V2": Area(0.18, {"image": 0.4, "contrast": 0.6}, 0.07),
    "V3": Area(0.14, {"image": 0.3, "contrast": 0.6, "motion": 0.1}, 0.10),
    "V4": Area(0.10, {"contrast": 0.2, "colour": 0.4, "words": 0.4}, 0.20),
    "LO": Area(0.11, {"contrast": 0.1, "words": 0.9}, 0.25),
    "MT": Area(0.09, {"motion": 1.0}, 0.25),
    "MST": Area(0.06, {"motion": 1.0}, 1.00),
    "TPOJ": Area(0.10, {"motion": 0.1, "words": 0.9}, 1.00),
}
_DRIFT = 0.5  # standard deviation of the slow drift, in units of the signal's
_AUTOCORRELATION = 0.4  # of the noise, from volume to volume
_JITTER = 0.35  # standard deviation of the voxels' haemodynamic delays, in seconds


@dataclass(frozen=True)
class Recording:
    """The simulated fMRI of one subject, and its known causes."""

    bold: Floats
    """[T, V]"""
    roi: NDArray[np.int16]
    """Index into `AREAS`, [V]."""
    share: Floats
    """The planted map: share of each drive in the voxel's signal variance, [V, len(DRIVES)]; rows sum to one."""
    place: Floats
    """Centre of the voxel's receptive field, from left and top, in frame sides, [V, 2]."""
    delay: Floats
    """Seconds by which the voxel's response is late, [V]."""


def scan_subject(drives: Mapping[str, Floats], plan: Schedule, *, rng: Random, voxels: int, noise: float) -> Recording:
    """Simulate the fMRI of one subject.

    Args:
        drives: The result of `drives.drives`, [N, D] each.
        plan: When the clips are shown.
        rng: The subject: receptive fields, preferences, delays, drift and noise are drawn from it.
        voxels: Number of voxels.
        noise: Standard deviation of the noise, in units of each voxel's signal at its peak.
    """
    roi = rng.permutation(np.repeat(np.arange(len(AREAS)), _sizes(voxels))).astype(np.int16)
    share = _shares(roi, rng)
    place = rng.random((voxels, 2), dtype=np.float32)
    signal = np.zeros((len(drives["words"]), voxels), np.float32)
    for column, name in enumerate(DRIVES):
        fields = _fields(name, roi, place, rng)
        signal += np.sqrt(share[:, column]) * _standard(drives[name] @ fields.T)
    delay = np.clip(rng.normal(0.0, _JITTER, voxels), -1.0, 1.0).astype(np.float32)
    bold = _haemodynamics(_standard(signal), plan, delay)
    bold += _noise(plan.volumes, voxels, rng) * np.float32(noise)
    bold += _drift(plan, voxels, rng) * np.float32(_DRIFT)
    return Recording(bold, roi, share, place, delay)


def hrf(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the canonical response to an instant: a gamma density that peaks at 4 s, less a sixth of one at 14 s."""
    time = np.maximum(seconds, 0.0)
    peak = time**4 * np.exp(-time) / 24.0
    undershoot = np.exp(14 * np.log(np.maximum(time, 1e-9)) - time - 25.19122118)  # 25.19... is log(14!)
    return np.asarray(peak - undershoot / 6.0)


def _sizes(voxels: int) -> NDArray[np.int64]:
    """Share out the voxels over the areas, to the largest remainders."""
    exact = np.array([area.size for area in AREAS.values()]) * voxels
    sizes: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact)[: voxels - sizes.sum()]] += 1
    return sizes


def _shares(roi: NDArray[np.int16], rng: Random) -> Floats:
    """Draw each voxel's mix of drives around that of its area, [V, len(DRIVES)]."""
    mean = np.array([[area.drives.get(name, 0.0) for name in DRIVES] for area in AREAS.values()])
    drawn = mean[roi] * rng.gamma(3.0, size=(len(roi), len(DRIVES)))
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), np.float32)


def _fields(name: str, roi: NDArray[np.int16], place: Floats, rng: Random) -> Floats:
    """Draw every voxel's weights on a drive, [V, D]: its receptive field times the channels it prefers."""
    side, channels = CHANNEL_SHAPES[name]
    preferred = rng.standard_normal((len(roi), channels))
    if name == "motion":
        preferred = preferred**2 * np.sign(preferred)  # few channels dominate: sharper tuning
    width = np.array([area.field for area in AREAS.values()])[roi][:, None]
    cells = (np.arange(side) + 0.5) / side
    across, down = (np.exp(-0.5 * ((cells - middle[:, None]) / width) ** 2) for middle in place.T)
    weights = down[:, :, None, None] * across[:, None, :, None] * preferred[:, None, None]
    return np.asarray(weights.reshape(len(roi), -1), np.float32)


def _standard(values: Floats) -> Floats:
    """Scale columns to mean 0 and standard deviation 1; constant ones become 0."""
    deviation = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.inf), np.float32)


def _haemodynamics(signal: Floats, plan: Schedule, delay: Floats) -> Floats:
    """Convolve the voxels' responses to each clip, [N,V], with their haemodynamic responses, to BOLD [T,V]."""
    fine = np.arange(10) / 10 * TR  # a clip lasts one volume
    shown = plan.clip_at()
    neural = np.where(shown[:, None] >= 0, signal[shown], np.float32(0))
    bold = np.zeros((plan.volumes, len(delay)), np.float32)
    peak = hrf((LAG_TR + 0.5) * TR - fine).mean()
    for lag in range(min(12, plan.volumes)):
        middle = (lag + 0.5) * TR  # a volume is taken, on average, in the middle of its TR
        kernel = (hrf(middle - delay[:, None] - fine).mean(axis=1) / peak).astype(np.float32)
        bold[lag:] += kernel * neural[: plan.volumes - lag]
    return bold


def _noise(volumes: int, voxels: int, rng: Random) -> Floats:
    """Draw autocorrelated noise of standard deviation 1, [volumes, voxels]."""
    noise = rng.standard_normal((volumes, voxels), dtype=np.float32)
    noise[1:] *= np.float32(np.sqrt(1 - _AUTOCORRELATION**2))
    for now in range(1, volumes):
        noise[now] += np.float32(_AUTOCORRELATION) * noise[now - 1]
    return noise


def _drift(plan: Schedule, voxels: int, rng: Random) -> Floats:
    """Draw slow drift of standard deviation 1: in each run an offset, a slope and half and whole waves, [T, V]."""
    drift = np.empty((plan.volumes, voxels), np.float32)
    ends = (*plan.runs[1:].tolist(), plan.volumes)
    for start, end in zip(plan.runs.tolist(), ends, strict=True):
        time = np.linspace(0.0, 1.0, end - start)
        slow = np.stack(
            [np.ones_like(time), *(np.sqrt(2) * np.cos(np.pi * k * time) for k in (1, 2))], axis=1
        ) / np.sqrt(3)
        drift[start:end] = slow.astype(np.float32) @ rng.standard_normal((3, voxels), dtype=np.float32)
    return drift
