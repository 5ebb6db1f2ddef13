"""Motion energy of a clip as metrics compare it: of all filters, and of each direction against its opposite.

The filters are those of `trainables.metrics.motion_energy`, pymoten's. Correlation over filters mostly says where in
the image there is structure: on the phantom a still video of the right first frame has .97 and another clip .85
(EXPERIMENTS.md). So the same energy is also compared as motion opponency, the energy of each direction less that of the
opposite one (Adelson & Bergen 1985), in which a still video and another clip have 0, and the clip run backwards -.94.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.config.nishimoto import EnergyConfig
from trainables.datasets.video_io import resample
from trainables.metrics.clip import Clip, Floats, UndefinedError
from trainables.metrics.clip_metrics import ENERGY_FRAMES
from trainables.metrics.motion_energy import EnergyBank, gabors, luminance_of
from trainables.threads import one_core

SIDE = 64
"""Height and width in pixels at which energy is computed."""
_WINDOW = 5 / 8
"""Length of a filter as a share of the clip."""
_STILL = 1e-3
"""Standard deviation over filters of log energy below which there is nothing but rounding, which makes 1e-5."""


@dataclass(frozen=True)
class ClipEnergy:
    """Motion energy of one clip."""

    energy: Floats
    """[K]: logarithm, mean over time, of each filter."""
    opponent: Floats
    """[P]: of one direction less that of the opposite one, for each place, scale and frequency of time."""


def clip_energy(frames: Clip) -> ClipEnergy:
    """Return the motion energy of a clip, uint8 [F,H,W,3].

    Raises:
        UndefinedError: The clip has too few frames.
    """
    count = len(frames)
    if count < ENERGY_FRAMES:
        raise UndefinedError(f"motion energy needs {ENERGY_FRAMES} frames; the clip has {count}")
    sized = resample(frames, frames=count, size=(SIDE, SIDE))
    with one_core():
        energy = _bank(count).energy(torch.from_numpy(luminance_of(sized))[None])[0].double().numpy()
    one, opposite = _opposites(count)
    return ClipEnergy(energy, energy[one] - energy[opposite])


def energy_correlation(truth: ClipEnergy, prediction: ClipEnergy) -> float:
    """Return Pearson's correlation over filters of two clips' energy; 0 for a black prediction.

    Raises:
        UndefinedError: The true clip is black.
    """
    return _correlation(truth.energy, prediction.energy, nothing="the true clip is black, so it has no motion energy")


def opponent_correlation(truth: ClipEnergy, prediction: ClipEnergy) -> float:
    """Return Pearson's correlation of two clips' opponent energy; 0 for a prediction in which nothing moves.

    Raises:
        UndefinedError: Nothing moves in the true clip.
    """
    return _correlation(truth.opponent, prediction.opponent, nothing="nothing moves in the true clip")


def _correlation(truth: Floats, prediction: Floats, *, nothing: str) -> float:
    """Return Pearson's correlation; 0 if `prediction` does not vary. If `truth` does not, the reason is `nothing`."""
    if truth.std() < _STILL:
        raise UndefinedError(nothing)
    if prediction.std() < _STILL:
        return 0.0
    return float(np.clip(np.corrcoef(truth, prediction)[0, 1], -1, 1))


def _config(frames: int) -> EnergyConfig:
    return EnergyConfig(resolution=SIDE, window=round(_WINDOW * frames))


@lru_cache(maxsize=4)
def _bank(frames: int) -> EnergyBank:
    return EnergyBank(_config(frames), frames=frames)


@lru_cache(maxsize=4)
def _opposites(frames: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of filters that see motion, and of those that see the opposite one."""
    moving = [(number, each) for number, each in enumerate(gabors(_config(frames))) if each.temporal_frequency > 0]
    oriented = {
        (each.x, each.y, each.spatial_frequency, each.temporal_frequency, each.direction): number
        for number, each in moving
        if each.spatial_frequency > 0
    }
    pairs = [(number, oriented[*key[:4], key[4] + 180]) for key, number in oriented.items() if key[4] < 180]
    one, opposite = np.array(pairs, dtype=np.intp).T
    return one, opposite
