"""AlexNet, VGG and the phantom's small network: image classifiers whose convolutions are read, and nothing else.

Sizes and names of tensors are those of torchvision (`features.N`, `classifier.N`), so that plain files of its weights
can be read. AlexNet is torchvision's, with 64 filters in the first layer and padding, and not Caffe's, which Wen et al.
(2018) used: those weights are not published in a format that can be read safely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.backbones.architectures import Architecture, Rgb


@dataclass(frozen=True)
class Outputs:
    """What a network says of frames. All values are after the ReLU, except the scores."""

    maps: Mapping[str, Tensor]
    """Layer to [N,C,h,w]."""
    penultimate: Tensor
    """[N,D], the input of the layer of class scores."""
    scores: Tensor
    """[N,K], before the softmax."""


class ConvolutionalNetwork(nn.Module):
    """A classifier of images, and the maps of its convolutions."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, *, classes: int, side: int, mean: Rgb, std: Rgb) -> None:
        """Build the untrained network.

        Args:
            architecture: One of `ARCHITECTURES`.
            classes: Number of class scores.
            side: Side in pixels of the frames that it was trained on.
            mean: Mean of red, green and blue, in [0, 1], that is subtracted.
            std: What the difference is divided by.
        """
        super().__init__()
        self.architecture, self.side = architecture, side
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.features, self._ends = _features(architecture)
        flat = architecture.convolutions[-1].channels * architecture.pooled**2
        self.classifier = _classifier(architecture, flat=flat, classes=classes)

    def standardise(self, frames: Tensor) -> Tensor:
        """Return RGB frames [N,3,H,W] in [0, 1] as the convolutions take them, in their own size."""
        return (frames - self.mean) / self.std

    def resized(self, frames: Tensor) -> Tensor:
        """Return whole frames [N,3,H,W] at the size that the network was trained on."""
        size = (self.side, self.side)
        if frames.shape[-2:] == size:
            return frames
        return F.interpolate(frames, size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)

    def maps(self, frames: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps [N,C,h,w] of `layers` for frames [N,3,H,W] in [0, 1], of any size. Gradients pass through."""
        return self._convolve(frames, layers, stop=True)[1]

    def forward(self, frames: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Return what the network says of frames [N,3,side,side] in [0, 1]."""
        values, found = self._convolve(frames, layers)
        pooled = F.adaptive_avg_pool2d(values, self.architecture.pooled).flatten(1)
        penultimate = self.classifier[:-1](pooled)
        return Outputs(found, penultimate, self.classifier[-1](penultimate))

    def _convolve(
        self, frames: Tensor, layers: Sequence[str], *, stop: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the last values and the maps of `layers`. `stop`: compute nothing after the last of these."""
        found: dict[str, Tensor] = {}
        values = self.standardise(frames)
        for number, module in enumerate(self.features):
            if stop and len(found) == len(layers):
                break
            values = module(values)
            if self._ends.get(number) in layers:
                found[self._ends[number]] = values
        return values, found

    @property
    def score_layer(self) -> nn.Linear:
        """The layer from the penultimate one to the class scores."""
        last = self.classifier[-1]
        assert isinstance(last, nn.Linear)
        return last

    def convolution(self, layer: str) -> nn.Conv2d:
        """Return the convolution `layer`."""
        number = next(number for number, name in self._ends.items() if name == layer)
        found = self.features[number - 1]
        assert isinstance(found, nn.Conv2d)
        return found


def _features(architecture: Architecture) -> tuple[nn.Sequential, dict[int, str]]:
    """Return the convolutions, and which number's output is that of which layer."""
    modules: list[nn.Module] = []
    ends: dict[int, str] = {}
    channels = 3
    for layer in architecture.convolutions:
        modules += [nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding), nn.ReLU()]
        ends[len(modules) - 1] = layer.name
        if layer.pool is not None:
            modules.append(nn.MaxPool2d(layer.pool, stride=2))
        channels = layer.channels
    return nn.Sequential(*modules), ends


def _classifier(architecture: Architecture, *, flat: int, classes: int) -> nn.Sequential:
    """Return the fully connected layers. `nn.Identity` stands where the originals have their dropout."""
    modules: list[nn.Module] = []
    for width in architecture.hidden:
        layer = [nn.Linear(flat, width), nn.ReLU()]
        modules += [nn.Identity(), *layer] if architecture.dropout_first else [*layer, nn.Identity()]
        flat = width
    return nn.Sequential(*modules, nn.Linear(flat, classes))
