"""Layers of AlexNet, VGG and the phantom's small network, and their config.json. Loads no heavy library.

Sizes are those of torchvision. Its AlexNet has 64 filters in the first layer, and padding: it is not Caffe's, which Wen
et al. (2018) used, and whose weights are not published in a format that can be read safely.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rgb = tuple[float, float, float]
CONFIG, WEIGHTS = "config.json", "model.safetensors"
FIELD = "layers.source"
_LARGEST_SIDE = 4096
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Convolution:
    """A convolution, its ReLU, and a max pooling with stride 2, if one follows."""

    name: str
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: int | None = None
    """Side of the max pooling; None: none follows."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a network."""

    convolutions: tuple[Convolution, ...]
    pooled: int
    """Side to which maps are averaged before the fully connected layers."""
    hidden: tuple[int, ...]
    """Widths of the fully connected layers before the class scores."""
    dropout_first: bool = False
    """Whether a dropout precedes each fully connected layer, or follows its ReLU. It only shifts the tensors' names."""
    blocks: tuple[str, ...] = ()
    """The layers that perceptual losses and encoders read: the last one before each pooling, or all."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all convolutions."""
        return tuple(layer.name for layer in self.convolutions)


def _vgg(*sizes: tuple[int, int]) -> Architecture:
    """Return a VGG of blocks of (convolutions, channels)."""
    convolutions = tuple(
        Convolution(f"conv{block}_{i}", channels, pool=2 if i == count else None)
        for block, (count, channels) in enumerate(sizes, start=1)
        for i in range(1, count + 1)
    )
    blocks = tuple(f"conv{block}_{count}" for block, (count, _) in enumerate(sizes, start=1))
    return Architecture(convolutions, pooled=7, hidden=(4096, 4096), blocks=blocks)


ARCHITECTURES: Mapping[str, Architecture] = {
    "phantom_cnn": Architecture(
        (
            Convolution("conv1", 32, kernel=11, stride=4, padding=0),
            Convolution("conv2", 64, pool=2),
            Convolution("conv3", 64),
            Convolution("conv4", 64, pool=2),
        ),
        pooled=3,
        hidden=(128,),
        blocks=("conv1", "conv2", "conv3", "conv4"),
    ),
    "alexnet": Architecture(
        (
            Convolution("conv1", 64, kernel=11, stride=4, padding=2, pool=3),
            Convolution("conv2", 192, kernel=5, padding=2, pool=3),
            Convolution("conv3", 384),
            Convolution("conv4", 256),
            Convolution("conv5", 256, pool=3),
        ),
        pooled=6,
        hidden=(4096, 4096),
        dropout_first=True,
        blocks=("conv1", "conv2", "conv3", "conv4", "conv5"),
    ),
    "vgg16": _vgg((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "vgg19": _vgg((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
}
"""`architecture` in config.json to the layers."""


@dataclass(frozen=True)
class NetworkConfig:
    """What config.json says of a network."""

    architecture: Architecture
    classes: int
    side: int
    """Side in pixels of the frames that it was trained on."""
    mean: Rgb
    """Of red, green and blue, in [0, 1]."""
    std: Rgb


def check_files(folder: Path) -> None:
    """Raise `ValueError` if `folder` lacks one of the two files of a network."""
    lacking = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if lacking:
        raise ValueError(f"{FIELD}: {folder} lacks {' and '.join(lacking)}; it must hold {CONFIG} and {WEIGHTS}")


def read_config(path: Path, *, location: str) -> NetworkConfig:
    """Read config.json, with `architecture`, `num_classes` and the `pretrained_cfg` of timm.

    Args:
        path: The file.
        location: Folder or hub name, for the error.

    Raises:
        ValueError: It is no JSON, names no known architecture, or a field is missing or cannot be used.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{FIELD}: {path} cannot be read as JSON: {error}") from error
    name = config.get("architecture") if isinstance(config, dict) else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ValueError(
            f"{FIELD}: {location}/{CONFIG} names the architecture {name!r}; it must be one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    try:
        return _described(config, ARCHITECTURES[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{FIELD}: {location}/{CONFIG} needs num_classes and pretrained_cfg with input_size [3, side, side], mean "
            f"and std; {type(error).__name__}: {error}"
        ) from error


def _described(config: Mapping[str, Any], architecture: Architecture) -> NetworkConfig:
    prepared = config["pretrained_cfg"]
    _, height, width = (int(side) for side in prepared["input_size"])
    if height != width or not 1 <= height <= _LARGEST_SIDE:
        raise ValueError(f"input_size {prepared['input_size']} must be a square of at most {_LARGEST_SIDE} pixels")
    classes = int(config["num_classes"])
    if not 1 <= classes <= _MOST_CLASSES:
        raise ValueError(f"num_classes must be from 1 to {_MOST_CLASSES}, but is {classes}")
    mean, std = _colours(prepared["mean"]), _colours(prepared["std"])
    if min(std) < 1e-6:
        raise ValueError(f"std must be above 0, but is {list(std)}")
    return NetworkConfig(architecture, classes, height, mean, std)


def _colours(value: Any) -> Rgb:
    red, green, blue = (float(number) for number in value)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{value!r} must be three finite numbers")
    return red, green, blue
