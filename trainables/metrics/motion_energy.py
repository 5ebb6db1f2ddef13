"""Motion energy: squared responses of pairs of spatio-temporal Gabor filters (Adelson & Bergen 1985; Nishimoto 2011).

Filters, their order and their responses are those of pymoten 0.1.3 (`mk_moten_pyramid_params`, `mk_3d_gabor`,
`compute_filter_responses`; BSD-2). Two things differ: responses are computed only where the whole window lies in the
clip, and are averaged over these places.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.config.nishimoto import EnergyConfig

_WIDEST, _SD_PER_WAVELENGTH, _SPACING = 0.3, 0.6, 3.5
"""Largest standard deviation of a filter (of the image's side, and of the window), its standard deviation in
wavelengths, and the distance of neighbours in standard deviations."""
_TEMPORAL_SD = 10.0
_SMALLEST = 1e-3
"""Weights below are 0. Denormal numbers would make the same product take twenty times as long."""


@dataclass(frozen=True)
class Gabor:
    """A pair of filters: position and standard deviations as a fraction of the image's side, and of the window."""

    x: float
    y: float
    direction: float
    """In degrees. pymoten lets frames run backwards through a filter, so the motion that drives it most is the opposite
    one: motion to the left for 0, downwards for 90."""
    spatial_frequency: float
    """Cycles per image."""
    spatial_sd: float
    temporal_frequency: float
    """Cycles per clip."""
    temporal_sd: float


def gabors(config: EnergyConfig) -> tuple[Gabor, ...]:
    """Return the filters of the pyramid, in pymoten's order."""
    return tuple(_gabors(config))


def _gabors(config: EnergyConfig) -> Iterator[Gabor]:
    directions = [360 * step / config.directions for step in range(config.directions)]
    with_dc = 0 in config.spatial_frequencies
    for frequency, direction in product([f for f in config.spatial_frequencies if f != 0], directions):
        sd = min(_SD_PER_WAVELENGTH / frequency, _WIDEST)
        for (x, y), time in product(product(_centres(sd), repeat=2), config.temporal_frequencies):
            if time == 0 and direction >= 180:
                continue  # without motion, opposite directions are the same
            temporal_sd = min(_TEMPORAL_SD / time, _WIDEST) if time else _WIDEST
            yield Gabor(x, y, direction, frequency, sd, time, temporal_sd)
            if direction == 0 and with_dc:
                yield Gabor(x, y, direction, 0.0, sd, time, temporal_sd)


def _centres(sd: float) -> list[float]:
    distance = sd * _SPACING
    beside = max(math.floor((1.0 - distance) / distance / 2), 0)
    return [distance * step + 0.5 for step in range(-beside, beside + 1)]


class EnergyBank:
    """The filters for clips of a number of frames, at `config.resolution`."""

    def __init__(self, config: EnergyConfig, *, frames: int) -> None:
        """Create the filters.

        Raises:
            ValueError: The clips have too few frames for the window or for a temporal frequency.
        """
        _check(config, frames)
        self._config = config
        filters = gabors(config)
        spatial = list(dict.fromkeys(_place(each) for each in filters))
        temporal = list(dict.fromkeys((each.temporal_frequency, each.temporal_sd) for each in filters))
        self._at = {time: [i for i, f in enumerate(filters) if f.temporal_frequency == time[0]] for time in temporal}
        number = {place: i for i, place in enumerate(spatial)}
        self._of = torch.tensor([number[_place(each)] for each in filters])
        self.count = len(filters)
        """Number of filters."""
        pairs = [_spatial_pair(place, config.resolution) for place in spatial]
        weights = np.stack([pair[part] for part in (0, 1) for pair in pairs])
        self._spatial = torch.from_numpy(weights.astype(np.float32).reshape(len(weights), -1).T.copy())
        self._temporal = {time: _temporal_pair(*time, window=config.window, frames=frames) for time in temporal}

    def energy(self, luminance: Tensor) -> Tensor:
        """Return the mean log energy [n,K] of clips of luminance from 0 to 1, [n,F,R,R]."""
        clips, frames = luminance.shape[:2]
        sine, cosine = (luminance.reshape(clips * frames, -1) @ self._spatial).view(clips, frames, -1).chunk(2, dim=2)
        energy = torch.empty(clips, self.count)
        for time, (slow_sine, slow_cosine) in self._temporal.items():
            # Frames run backwards through a filter: a convolution, and not a correlation.
            seen = [part.unfold(1, self._config.window, 1).flip(-1) for part in (sine, cosine)]
            first = seen[0] @ slow_cosine + seen[1] @ slow_sine
            second = seen[1] @ slow_cosine - seen[0] @ slow_sine
            squares = first.square() + second.square()
            combined = squares.sqrt() if self._config.quadrature == "sqrt" else squares
            means = (combined + self._config.offset).log().mean(dim=1)
            at = torch.tensor(self._at[time])
            energy[:, at] = means[:, self._of[at]]
        return energy


def luminance_of(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return lightness L* of CIE L*a*b* (D65) from 0 to 1, of sRGB [...,3]."""
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    weighted = [(weight * linear).astype(np.float32) for weight in (0.212671, 0.715160, 0.072169)]
    y = weighted[0][frames[..., 0]] + weighted[1][frames[..., 1]] + weighted[2][frames[..., 2]]
    cube_root = np.where(y > 0.008856, np.cbrt(y), 7.787 * y + 16 / 116)
    return ((116 * cube_root - 16) / 100).astype(np.float32)


def _check(config: EnergyConfig, frames: int) -> None:
    if config.window > frames:
        raise ValueError(f"energy.window is {config.window} frames, but the clips have {frames}; use {frames} or fewer")
    if (fastest := max(config.temporal_frequencies)) >= frames / 2:
        raise ValueError(
            f"energy.temporal_frequencies has {fastest:g} cycles per clip, which {frames} frames cannot show; each "
            f"must be less than {frames / 2:g}"
        )


def _place(gabor: Gabor) -> tuple[float, ...]:
    return gabor.x, gabor.y, gabor.direction, gabor.spatial_frequency, gabor.spatial_sd


def _spatial_pair(place: tuple[float, ...], side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sine and cosine of a filter in space, [side, side]."""
    x, y, direction, frequency, sd = place
    axis = np.linspace(0, 1, side)
    right, down = np.meshgrid(axis - x, axis - y)
    angle = math.radians(direction)
    phase = 2 * math.pi * frequency * (-math.cos(angle) * right + math.sin(angle) * down)
    envelope = np.exp(-(right**2 + down**2) / (2 * sd**2))
    sine, cosine = envelope * np.sin(phase), envelope * np.cos(phase)
    kept = np.abs(sine) + np.abs(cosine) > _SMALLEST
    return sine * kept, cosine * kept


def _temporal_pair(frequency: float, sd: float, *, window: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return sine and cosine of a filter in time, [window]."""
    time = np.linspace(0, 1, window, endpoint=False) - 0.5
    phase = 2 * math.pi * frequency * window / frames * time
    envelope = np.exp(-(time**2) / (2 * sd**2))
    sine, cosine = envelope * np.sin(phase), envelope * np.cos(phase)
    return torch.from_numpy(sine.astype(np.float32)), torch.from_numpy(cosine.astype(np.float32))
