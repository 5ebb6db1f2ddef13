"""From the maps of a first convolution back to the frame: its filters transposed, or what fits best around a place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

PENALTY = 1e-3
"""Of squared weights, relative to the mean square of the regressors: only to make the solution unique."""
_BLOCK = 16
"""Frames at a time."""


@dataclass(frozen=True)
class Convolution:
    """The first convolution of a network, and how frames are prepared for it."""

    filters: Tensor
    """[C,3,k,k]"""
    stride: int
    padding: int
    side: int
    """Frames are squares of this side."""
    log: float | None
    """Maps are log10(map + log)."""

    @classmethod
    def of(cls, facts: dict[str, Any], filters: Tensor) -> Self:
        """Read what the stage `layers` wrote. Raises `ValueError` for another layer than the first."""
        if filters.shape[1] != 3:
            raise ValueError(
                f"layers.layer: wen2018 inverts the first convolution, whose filters have 3 input channels, but "
                f"{facts['layer']} has {filters.shape[1]}; use conv1 (conv1_1 of VGG)"
            )
        return cls(filters, facts["stride"], facts["padding"], facts["side"], facts["log"])

    @property
    def first_pixel(self) -> int:
        """The pixel at which the cell of the first place begins: around the centre of its filter."""
        return (self.filters.shape[-1] - self.stride) // 2 - self.padding

    def linear(self, maps: Tensor) -> Tensor:
        """Return maps without their logarithm, at least 0."""
        return maps if self.log is None else (10.0 ** maps.float() - self.log).clamp(min=0.0)


class TransposedInverse:
    """Frames by the transposed filters, with the gains and the colour that fit training frames best."""

    def __init__(self, convolution: Convolution, maps: Tensor, frames: Tensor) -> None:
        """Fit C gains and 3 offsets to frames [n,3,R,R] of maps [n,C,h,w]."""
        self._convolution = convolution
        channels = maps.shape[1]
        gram, product = torch.zeros(channels + 3, channels + 3).double(), torch.zeros(channels + 3).double()
        for some, shown in _blocks(maps, frames):
            known = self._regressors(some).transpose(0, 1).flatten(1)
            gram += known @ known.T
            product += known @ shown.flatten().double()
        ridge = PENALTY * gram.diagonal().mean() * torch.eye(channels + 3, dtype=torch.float64)
        self._gains = torch.linalg.solve(gram + ridge, product)

    def __call__(self, maps: Tensor) -> Tensor:
        """Return frames [n,3,R,R] of maps [n,C,h,w]."""
        side = self._convolution.side
        parts = [torch.einsum("nkp,k->np", self._regressors(some), self._gains) for some in torch.split(maps, _BLOCK)]
        return torch.cat(parts).float().view(-1, 3, side, side)

    def _regressors(self, maps: Tensor) -> Tensor:
        """Return what each channel draws, and each colour, float64 [n,C+3,3 R R]."""
        convolution, side = self._convolution, self._convolution.side
        values = convolution.linear(maps)
        drawn = F.conv_transpose2d(
            values, convolution.filters, stride=convolution.stride, padding=convolution.padding, groups=values.shape[1]
        )
        missing = side - drawn.shape[-1]
        drawn = F.pad(drawn, (0, missing, 0, missing)).view(len(values), -1, 3, side, side)
        colours = torch.eye(3)[:, :, None, None].expand(len(values), 3, 3, side, side)
        return torch.cat((drawn, colours), dim=1).flatten(2).double()


class LocalInverse:
    """Pixels around each place of the maps, by ridge regression from the 3x3 places around it."""

    def __init__(self, convolution: Convolution, maps: Tensor, frames: Tensor) -> None:
        """Fit frames [n,3,R,R] of maps [n,C,h,w]."""
        self._convolution = convolution
        inputs = 9 * maps.shape[1] + 1
        gram = torch.zeros(inputs, inputs).double()
        product = torch.zeros(inputs, 3 * convolution.stride**2).double()
        for some, shown in _blocks(maps, frames):
            known, wanted = self._regressors(some), self._cells(shown, some.shape[-1])
            gram += known.T @ known
            product += known.T @ wanted
        ridge = PENALTY * gram.diagonal().mean() * torch.eye(inputs, dtype=torch.float64)
        self._weights = torch.linalg.solve(gram + ridge, product)

    def __call__(self, maps: Tensor) -> Tensor:
        """Return frames [n,3,R,R] of maps [n,C,h,w]."""
        return torch.cat([self._drawn(some) for some in torch.split(maps, _BLOCK)])

    def _drawn(self, maps: Tensor) -> Tensor:
        places, step, side = maps.shape[-1], self._convolution.stride, self._convolution.side
        cells = (self._regressors(maps) @ self._weights).float().view(len(maps), places, places, 3, step, step)
        whole = cells.permute(0, 3, 1, 4, 2, 5).reshape(len(maps), 3, places * step, places * step)
        first, missing = self._convolution.first_pixel, side - places * step
        before, after = first, missing - first
        return F.pad(whole, (before, after, before, after), mode="replicate")

    def _regressors(self, maps: Tensor) -> Tensor:
        around = F.unfold(F.pad(maps.float(), (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2).flatten(0, 1)
        return torch.cat((around, torch.ones(len(around), 1)), dim=1).double()

    def _cells(self, frames: Tensor, places: int) -> Tensor:
        """Return the pixels of each place, float64 [n places places, 3 stride stride]."""
        step, first = self._convolution.stride, self._convolution.first_pixel
        inside = frames[..., first : first + places * step, first : first + places * step]
        cells = inside.reshape(len(frames), 3, places, step, places, step)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(-1, 3 * step * step).double()


def _blocks(maps: Tensor, frames: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(torch.split(maps, _BLOCK), torch.split(frames, _BLOCK), strict=True)
