"""Preprocessor files are read as transformers reads them: both prepare the same pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from trainables.backbones.preparation import ModelKind, read_preparation

COLOURS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.4, 0.3]}
PROCESSORS: dict[ModelKind, Any] = {
    "clip": CLIPImageProcessorPil,
    "image_classifier": ViTImageProcessorPil,
    "video_classifier": VideoMAEImageProcessorPil,
}
SQUARE, EDGE = {"height": 24, "width": 24}, {"shortest_edge": 24}


def photograph(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image [H,W,3] with a gradient and noise."""
    rng = np.random.default_rng(height * width)
    smooth = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.array([3, 2, 1])
    image: np.ndarray[Any, np.dtype[np.uint8]]
    image = np.clip(smooth / 2 + rng.integers(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    return image


@pytest.mark.parametrize("shape", [(64, 64), (40, 61), (61, 40), (24, 24), (20, 30)])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("clip", {"size": EDGE, "crop_size": SQUARE}),
        ("clip", {"size": {"shortest_edge": 32}, "crop_size": SQUARE}),
        ("clip", {"size": {"shortest_edge": 32}, "crop_size": 24, "do_center_crop": False}),
        ("clip", {"size": EDGE, "crop_size": SQUARE, "do_resize": False}),
        ("clip", {"size": EDGE, "crop_size": SQUARE, "resample": 2}),
        ("clip", {"size": 24, "crop_size": 24}),
        ("clip", {"size": EDGE, "crop_size": {"height": 20, "width": 16}}),
        ("image_classifier", {"size": SQUARE}),
        ("image_classifier", {"size": 24}),
        ("image_classifier", {"size": SQUARE, "resample": 3}),
        ("image_classifier", {"size": SQUARE, "do_normalize": False}),
        ("image_classifier", {"size": SQUARE, "rescale_factor": 1 / 127.5}),
        ("video_classifier", {"size": EDGE, "crop_size": SQUARE}),
        ("video_classifier", {"size": {"shortest_edge": 30}, "crop_size": SQUARE}),
    ],
)
def test_frames_are_prepared_as_by_transformers(
    kind: ModelKind, fields: dict[str, Any], shape: tuple[int, int], tmp_path: Path
) -> None:
    written = {**COLOURS, **fields}
    processor = PROCESSORS[kind](**written)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(written))
    prepare = read_preparation(tmp_path / "preprocessor_config.json", kind=kind, location=str(tmp_path))
    image = photograph(*shape)
    ours = prepare(torch.from_numpy(image)[None])[0]
    answer = processor([image], return_tensors="pt")["pixel_values"]
    theirs = torch.as_tensor(answer).reshape(ours.shape)
    # PIL rounds after each of the two axes. We do not for bicubic: measured on these images, at most 1.06 of 255.
    grey = prepare.factor / min(prepare.std)
    assert (ours - theirs).abs().max() <= 1.5 * grey
    assert (ours - theirs).abs().mean() <= 0.5 * grey


def test_the_crop_follows_the_resize(tmp_path: Path) -> None:
    fields = {**COLOURS, "size": {"shortest_edge": 256}, "crop_size": 224}
    (tmp_path / "file.json").write_text(json.dumps(fields))
    prepare = read_preparation(tmp_path / "file.json", kind="clip", location="here")
    image = torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    image[:, :16] = 255
    top = prepare(image)[0, :, 0]
    black = -torch.tensor(prepare.mean) / torch.tensor(prepare.std)
    assert torch.allclose(top, black[:, None].expand_as(top)), "the white rows are cut off"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "KeyError: 'size'"),
        ({"size": EDGE}, "image_mean"),
        ({"size": {"longest_edge": 3}, **COLOURS}, "KeyError"),
        ({"size": EDGE, "resample": 1, **COLOURS}, r"resample is 1; only 2 \(bilinear\) and 3 \(bicubic\) can be used"),
        ({"size": "big", **COLOURS}, "needs size, image_mean and image_std"),
    ],
)
def test_what_cannot_be_used_is_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=message):
        read_preparation(tmp_path / "file.json", kind="clip", location="here")
