"""The features stage: targets of the decoders, computed from clips and captions by frozen networks."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.load import ClipModel, TextEncoder, Vae, load_clip, load_text_encoder, load_vae
from trainables.config.features import FeaturesConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.eda import variants
from trainables.loop import pick_device
from trainables.randomness import derived_seed

logger = logging.getLogger(__name__)

FIXED_FRAME = 3
"""The frame that represents its clip with `image_target: fixed_frame`; the released code's 0000024."""

Seen = dict[str, Tensor]


def run(task: StageTask) -> StageResult:
    """Write `features.safetensors` and `features.json`.

    safetensors, float32: `clip_image` and `clip_text` [N,D], `clip_image_variants` [N,Ki,D] and `clip_text_variants`
    [N,Kt,D] (for held-out clips, the plain embedding repeated), `condition` [N,L,C], `latents` [N,F,c,h,w], multiplied
    by the VAE's scaling factor. json: the sizes, and the fraction of words that the text encoder does not know.

    Raises:
        ValueError: A backbone cannot be loaded, or the config's sizes differ from the backbone's.
    """
    config, sources = task.config.features, task.config.backbones
    facts = task.inputs["data"].json("data.json")
    captions, training = facts["captions"], np.array(facts["split"]) == "train"
    device = pick_device("auto")
    vae = load_vae(sources.stable_diffusion, device=device)
    _check_latent_size(vae, config)
    encoder = load_text_encoder(sources.stable_diffusion, device=device)
    clip = load_clip(sources.clip, device=device)
    tensors = {
        **_texts(clip, captions, training=training, config=config),
        "condition": _by_batch(captions, config, lambda part: encoder.encode(part, tokens=config.condition_tokens)),
        **_pictures(vae, clip, task.inputs["data"].path("clips.safetensors"), training=training, config=config),
    }
    tensors = {name: values.float().contiguous() for name, values in tensors.items()}
    save_file(tensors, task.context.output / "features.safetensors")
    described = _describe(tensors, vae=vae, encoder=encoder, captions=captions)
    (task.context.output / "features.json").write_text(json.dumps(described), encoding="utf-8")
    return StageResult(info={"device": str(device), "unknown_words": f"{described['unknown_words']:.3f}"})


def _check_latent_size(vae: Vae, config: FeaturesConfig) -> None:
    size = vae.latent_size(config.resolution)
    if size != config.latent_size:
        raise ValueError(
            f"features.latent_size must be {size}, the side of this VAE's latent of a {config.resolution}-pixel image, "
            f"but got {config.latent_size}"
        )


def _describe(tensors: Mapping[str, Tensor], *, vae: Vae, encoder: TextEncoder, captions: Sequence[str]) -> Any:
    unknown = encoder.unknown(captions)
    if unknown > 0.5:
        logger.warning("the text encoder knows only %.0f %% of the words in the captions", 100 * (1 - unknown))
    _, _, channels, size, _ = tensors["latents"].shape
    return {
        "latent_channels": channels,
        "latent_size": size,
        "scaling_factor": vae.scaling_factor,
        "clip_dim": tensors["clip_text"].shape[1],
        "condition_dim": tensors["condition"].shape[2],
        "condition_tokens": tensors["condition"].shape[1],
        "unknown_words": unknown,
    }


def _by_batch(captions: Sequence[str], config: FeaturesConfig, encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
    # Captions and their variants are often equal; each distinct text is encoded once.
    distinct = sorted(set(captions))
    parts = [distinct[i : i + config.batch_size] for i in range(0, len(distinct), config.batch_size)]
    encoded = torch.cat([encode(part).cpu() for part in parts])
    row = {text: index for index, text in enumerate(distinct)}
    return encoded[[row[text] for text in captions]]


def _texts(clip: ClipModel, captions: Sequence[str], *, training: NDArray[np.bool_], config: FeaturesConfig) -> Seen:
    rng = np.random.default_rng(derived_seed(config.seed, "features", "text"))
    count = config.text_variants
    altered = [
        text
        for caption, augmented in zip(captions, training, strict=True)
        for text in (variants(caption, count=count, rng=rng) if augmented else (caption,) * count)
    ]
    embedded = _by_batch([*captions, *altered], config, clip.texts)
    plain, rest = embedded[: len(captions)], embedded[len(captions) :]
    return {"clip_text": plain, "clip_text_variants": rest.reshape(len(captions), count, plain.shape[1])}


@dataclass(frozen=True)
class Views:
    """The frame and the crop of each image variant. Arrays are [N,K]; crops are squares of `side` pixels."""

    frame: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    side: int

    def cut(self, clips: Tensor, rows: slice) -> Tensor:
        """Return the crops [n*K,side,side,3] of `clips` [n,F,H,W,3], which are `rows` of the data set."""
        crops = zip(self.frame[rows], self.top[rows], self.left[rows], strict=True)
        return torch.stack(
            [
                clip[f, y : y + self.side, x : x + self.side]
                for clip, (frames, tops, lefts) in zip(clips, crops, strict=True)
                for f, y, x in zip(frames, tops, lefts, strict=True)
            ]
        )


def _views(shape: Sequence[int], config: FeaturesConfig) -> Views:
    clips, frames, height, width = shape[:4]
    rng = np.random.default_rng(derived_seed(config.seed, "features", "image"))
    side = max(1, round(config.crop_fraction * min(height, width)))
    size = (clips, config.image_variants)
    frame, top, left = (rng.integers(n, size=size) for n in (frames, height - side + 1, width - side + 1))
    if config.image_target == "fixed_frame":
        frame = np.full(size, min(FIXED_FRAME, frames - 1))
    return Views(frame, top, left, side)


def _pictures(vae: Vae, clip: ClipModel, path: Path, *, training: NDArray[np.bool_], config: FeaturesConfig) -> Seen:
    """Return `clip_image`, `clip_image_variants` and `latents`."""
    device = next(vae.model.parameters()).device
    draw = torch.Generator().manual_seed(derived_seed(config.seed, "features", "latents"))
    generator = draw if config.latents == "sample" else None
    parts: dict[str, list[Tensor]] = {"clip_image": [], "clip_image_variants": [], "latents": []}
    for rows, clips, views in _chunks(path, config):
        frames = clips.to(device).flatten(0, 1)
        latents = vae.encode(_resized(frames, config.resolution), generator=generator)
        image = _clip_target(clip, clips.to(device), config)
        varied = image[:, None].repeat(1, config.image_variants, 1)
        chosen = torch.from_numpy(training[rows])
        if config.image_variants > 0 and chosen.any():
            squares = views.cut(clips, rows)[chosen.repeat_interleave(config.image_variants)]
            varied[chosen.to(device)] = clip.images(squares.to(device)).reshape(-1, *varied.shape[1:])
        parts["latents"].append(latents.reshape(*clips.shape[:2], *latents.shape[1:]).cpu())
        parts["clip_image"].append(image.cpu())
        parts["clip_image_variants"].append(varied.cpu())
        logger.info("features of %d of %d clips", min(rows.stop, len(training)), len(training))
    return {name: torch.cat(values) for name, values in parts.items()}


def _chunks(path: Path, config: FeaturesConfig) -> Iterator[tuple[slice, Tensor, Views]]:
    """Yield clips with about `batch_size` frames at a time. The file is memory-mapped, never read as a whole."""
    with safe_open(path, framework="pt") as file:
        stored = file.get_slice("clips")
        shape = stored.get_shape()
        views = _views(shape, config)
        step = max(1, config.batch_size // shape[1])
        for first in range(0, shape[0], step):
            rows = slice(first, first + step)
            yield rows, stored[rows], views


def _clip_target(clip: ClipModel, clips: Tensor, config: FeaturesConfig) -> Tensor:
    if config.image_target == "fixed_frame":
        return clip.images(clips[:, min(FIXED_FRAME, clips.shape[1] - 1)])
    return clip.images(clips.flatten(0, 1)).reshape(*clips.shape[:2], -1).mean(dim=1)


def _resized(frames: Tensor, side: int) -> Tensor:
    """Convert uint8 [N,H,W,3] to the VAE's input: float [N,3,side,side] from -1 to 1."""
    images = frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0
    if images.shape[-2:] == (side, side):
        return images
    resized = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(-1.0, 1.0)
