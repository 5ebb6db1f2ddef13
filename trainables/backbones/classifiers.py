"""Loads the classifiers that judge videos: images by a ViT or the like, clips by a VideoMAE or the like."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageClassification, AutoModelForVideoClassification
from transformers.utils.hub import cached_file

from trainables.backbones.preparation import ModelKind, Preparation, read_preparation
from trainables.backbones.sources import locate, refuse_missing, variant_of, warn_of_commit

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ImageClassifier:
    """Any transformers image classifier, as `google/vit-base-patch16-224`."""

    model: Any
    prepare: Preparation

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Tensor:
        """Return logits [F,C] of frames, uint8 [F,H,W,3], prepared as the model's preprocessor does."""
        return torch.as_tensor(self.model(pixel_values=self.prepare(frames)).logits)


@dataclass(frozen=True)
class VideoClassifier:
    """Any transformers video classifier, as `MCG-NJU/videomae-base-finetuned-kinetics`."""

    model: Any
    prepare: Preparation

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Tensor:
        """Return logits [1,C] of one clip, uint8 [F,H,W,3], prepared as the model's preprocessor does."""
        return torch.as_tensor(self.model(pixel_values=self.prepare(frames)[None]).logits)


def load_image_classifier(source: str, *, device: torch.device = _CPU) -> ImageClassifier:
    """Load a folder or hub name. Raises `ValueError`."""
    loader = AutoModelForImageClassification.from_pretrained
    model, prepare = _load(loader, source, kind="image_classifier")
    return ImageClassifier(model.to(device), prepare)


def load_video_classifier(source: str, *, frames: int, device: torch.device = _CPU) -> VideoClassifier:
    """Load a folder or hub name for clips of `frames` frames; its positions are computed for that count.

    Raises:
        ValueError: It cannot be loaded, or `frames` is no multiple of its tubelet.
    """
    model, prepare = _load(
        AutoModelForVideoClassification.from_pretrained, source, kind="video_classifier", num_frames=frames
    )
    tubelet = getattr(model.config, "tubelet_size", 1)
    if frames % tubelet != 0:
        raise ValueError(f"the video classifier {source} needs a multiple of {tubelet} frames, but clips have {frames}")
    return VideoClassifier(model.to(device), prepare)


def _load(loader: Callable[..., Any], source: str, *, kind: ModelKind, **options: Any) -> tuple[Any, Preparation]:
    weights = locate(source, kind=kind)
    revision = {} if weights.revision is None else {"revision": weights.revision}
    try:
        options = {"dtype": torch.float32, "output_loading_info": True, **variant_of(weights), **options, **revision}
        model, report = loader(weights.location, **options)
        file = str(cached_file(weights.location, "preprocessor_config.json", **revision))
        prepare = read_preparation(Path(file), kind=kind, location=weights.location)
    except Exception as error:  # loaders raise whatever they like on damaged files, and on pickles that they refuse
        raise ValueError(f"cannot load the {kind.replace('_', ' ')} from {weights.location}: {error}") from error
    refuse_missing(report, what=kind.replace("_", " "), location=weights.location)
    warn_of_commit(weights, file="config.json")
    return model.eval().requires_grad_(False), prepare
