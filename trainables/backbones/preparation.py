"""What a model's own preprocessor does to frames, read from `preprocessor_config.json` as transformers reads it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Filter: TypeAlias = Literal["bilinear", "bicubic"]
Size: TypeAlias = tuple[int, int]
ModelKind: TypeAlias = Literal["clip", "image_classifier", "video_classifier"]
_FILTERS: Mapping[int, Filter] = {2: "bilinear", 3: "bicubic"}
"""PIL's number of a filter, which preprocessors store as `resample`."""
_LARGEST_SIDE = 4096
"""Of prepared frames, in pixels."""
_SQUARES = frozenset({"image_classifier"})
"""Kinds of model for which a single number `size` means both sides; for the others it is the shorter side."""
_DEFAULT_FILTER: Mapping[ModelKind, Filter] = {
    "clip": "bicubic",
    "image_classifier": "bilinear",
    "video_classifier": "bilinear",
}


@dataclass(frozen=True)
class Preparation:
    """Resize, cut out the centre, scale to 0..1, standardise."""

    size: int | Size | None
    """Shorter side, or height and width, in pixels; None: frames are not resized."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: Size | None = None
    """Height and width of the centre that is cut out. None: nothing is cut."""
    filter: Filter = "bicubic"
    factor: float = 1 / 255
    """Factor of the 8-bit values."""

    @property
    def shape(self) -> Size:
        """Height and width of prepared frames that are square."""
        side = self.crop if self.crop is not None else self.size
        if side is None:
            raise ValueError("frames of any size are left as they are, so no size is known")
        return (side, side) if isinstance(side, int) else side

    def __call__(self, frames: Tensor) -> Tensor:
        """Turn uint8 [N,H,W,3] into float [N,3,height,width].

        With `bilinear`, resized values are rounded to 8 bits, as PIL does. With `bicubic` they are not: a difference of
        at most about one of 255 from PIL.
        """
        images = frames.permute(0, 3, 1, 2)
        target = self._resized_shape(*images.shape[-2:])
        if target != tuple(images.shape[-2:]):
            images = _resized(images, target, self.filter)
        if self.crop is not None:
            images = _centre(images, self.crop)
        mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (self.mean, self.std))
        scaled = images.float() / 255.0 if self.factor == 1 / 255 else images.float() * self.factor
        return (scaled - mean) / std

    def _resized_shape(self, height: int, width: int) -> Size:
        if self.size is None:
            return height, width
        if not isinstance(self.size, int):
            return self.size
        shorter = min(height, width)  # the longer side is rounded down, as by transformers
        return int(self.size * height / shorter), int(self.size * width / shorter)


def _resized(images: Tensor, shape: Size, kind: Filter) -> Tensor:
    options: dict[str, Any] = {"mode": kind, "antialias": True, "align_corners": False}
    if kind == "bilinear":  # of 8-bit values, which only a CPU can
        return F.interpolate(images.cpu(), shape, **options).to(images.device)
    return F.interpolate(images.float(), shape, **options).clamp(0.0, 255.0)


def _centre(images: Tensor, shape: Size) -> Tensor:
    """Cut out the centre; where an image is smaller, zeros surround it."""
    height, width = images.shape[-2:]
    more = [max(0, wanted - side) for wanted, side in zip(shape, (height, width), strict=True)]
    if any(more):
        above, left = ((extra + 1) // 2 for extra in more)
        images = F.pad(images, (left, more[1] - left, above, more[0] - above))
    top, left = ((side - wanted) // 2 for side, wanted in zip(images.shape[-2:], shape, strict=True))
    return images[..., top : top + shape[0], left : left + shape[1]]


def read_preparation(file: Path, *, kind: ModelKind, location: str) -> Preparation:
    """Read `preprocessor_config.json`. What the file leaves out is as in transformers' preprocessor of such models.

    Args:
        file: The file.
        kind: The kind of model, which decides what a plain number means, and the defaults.
        location: Where the model comes from, for the error.

    Raises:
        ValueError: A field is missing, or has a value that cannot be used.
    """
    try:
        return _preparation(json.loads(file.read_text(encoding="utf-8")), kind)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{location}/preprocessor_config.json needs size, image_mean and image_std as transformers writes them; "
            f"{type(error).__name__}: {error}"
        ) from error


def _preparation(fields: Mapping[str, Any], kind: ModelKind) -> Preparation:
    number = fields.get("resample")
    if number is not None and number not in _FILTERS:
        raise ValueError(f"resample is {number!r}; only 2 (bilinear) and 3 (bicubic) can be used")
    size = _size(fields["size"], square=kind in _SQUARES) if fields.get("do_resize", True) else None
    normalises = fields.get("do_normalize", True)
    return Preparation(
        size=size,
        mean=_colours(fields["image_mean"]) if normalises else (0.0, 0.0, 0.0),
        std=_colours(fields["image_std"], least=1e-6) if normalises else (1.0, 1.0, 1.0),
        crop=_crop(fields, size, kind),
        filter=_DEFAULT_FILTER[kind] if number is None else _FILTERS[number],
        factor=_finite(fields.get("rescale_factor", 1 / 255)) if fields.get("do_rescale", True) else 1.0,
    )


def _colours(value: Any, *, least: float = -math.inf) -> tuple[float, ...]:
    numbers = tuple(map(_finite, value))
    if len(numbers) != 3 or min(numbers) < least:
        what = "three numbers" if least < 0 else "three numbers above 0"
        raise ValueError(f"{value!r} must be {what}, for red, green and blue")
    return numbers


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} must be a number")
    return number


def _side(value: Any) -> int:
    if isinstance(value, bool) or not 1 <= (side := int(value)) <= _LARGEST_SIDE:
        raise ValueError(f"a side of {value!r} pixels must be between 1 and {_LARGEST_SIDE}")
    return side


def _size(value: Any, *, square: bool) -> int | Size:
    """Return the shorter side, or height and width."""
    if isinstance(value, int):
        return (_side(value), _side(value)) if square else _side(value)
    if "shortest_edge" in value:
        return _side(value["shortest_edge"])
    return _side(value["height"]), _side(value["width"])


def _crop(fields: Mapping[str, Any], size: int | Size | None, kind: ModelKind) -> Size | None:
    """Return the centre that is cut out: what the file says, or a square where only the shorter side is known."""
    if not fields.get("do_center_crop", kind not in _SQUARES or "crop_size" in fields):
        return None
    if "crop_size" in fields:
        crop = _size(fields["crop_size"], square=True)
        return (crop, crop) if isinstance(crop, int) else crop
    return (size, size) if isinstance(size, int) else None
