"""From the maps of a first convolution to the frame by three trained up-convolutions (ours)."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.map_inverse import Convolution

_GROWTHS = 3


class TrainedInverse(nn.Module):
    """Maps [B,C,h,w] to frames [B,3,R,R], standardised as the network that made the maps takes them."""

    def __init__(self, convolution: Convolution, channels: int) -> None:
        """`channels` of the first up-convolution; a multiple of 4."""
        super().__init__()
        self._convolution = (convolution,)  # in a tuple: it is no part of the module
        widths = (channels, channels // 2, channels // 4)
        layers: list[nn.Module] = []
        for before, after, by in zip((len(convolution.filters), *widths), widths, growths(convolution.stride),
                                     strict=False):  # fmt: skip
            layers += [nn.Upsample(scale_factor=by), nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        self.grow = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))
        self.register_buffer("mean", torch.zeros(len(convolution.filters), 1, 1))
        self.register_buffer("spread", torch.ones(len(convolution.filters), 1, 1))

    def calibrate(self, maps: Tensor) -> None:
        """Set mean and standard deviation of each channel by which maps are standardised, from some maps [n,C,h,w]."""
        self.mean = maps.mean(dim=(0, 2, 3))[:, None, None]
        spread = maps.std(dim=(0, 2, 3))[:, None, None]
        self.spread = torch.where(spread > 0, spread, torch.ones_like(spread))

    def forward(self, maps: Tensor) -> Tensor:
        """Return frames [B,3,R,R]. The pixels that a place grows to lie around the centre of its filter."""
        convolution = self._convolution[0]
        step, first, side = convolution.stride, convolution.first_pixel, convolution.side
        before = -(-first // step)
        after = max(0, -(-(side - first - maps.shape[-1] * step) // step))
        padded = F.pad((maps - self.mean) / self.spread, (before, after, before, after), mode="replicate")
        start = before * step - first
        drawn = self.grow(padded)
        return cast(Tensor, drawn[..., start : start + side, start : start + side])


def growths(stride: int) -> tuple[int, ...]:
    """Return three whole factors of `stride`, the smallest first: by what each up-convolution enlarges the maps.

    Examples:
        >>> growths(4), growths(8), growths(1), growths(3)
        ((1, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 3))
    """
    factors: list[int] = []
    rest = stride
    while rest > 1 and len(factors) < _GROWTHS - 1:
        factor = next(candidate for candidate in range(2, rest + 1) if rest % candidate == 0)
        factors.append(factor)
        rest //= factor
    return tuple(sorted((*factors, rest, *(1,) * (_GROWTHS - 1 - len(factors)))))
