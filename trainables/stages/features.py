"""The features stage: targets of the decoders, computed from clips and captions by frozen networks."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.backbones.load import ClipModel, TextEncoder, Vae, load_clip, load_text_encoder, load_vae
from trainables.config.features import FeaturesConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.base import ClipSequence, Stimuli
from trainables.datasets.eda import load_synonyms, variants
from trainables.datasets.stored_clips import read_stimuli
from trainables.loop import pick_device
from trainables.randomness import derived_seed
from trainables.tensors import TensorShape, TensorWriter

logger = logging.getLogger(__name__)

FIXED_FRAME = 3
"""The frame that represents its clip with `image_target: fixed_frame`; the released code's 0000024."""
_TEXT_CLIPS = 256
"""Clips whose texts are encoded at a time: equal texts among them are encoded once."""
_LOG_SECONDS = 10.0

Seen = dict[str, Tensor]


def run(task: StageTask) -> StageResult:
    """Write `features.safetensors` and `features.json`.

    safetensors, float32: `clip_image` and `clip_text` [N,D], `clip_image_variants` [N,Ki,D] and `clip_text_variants`
    [N,Kt,D] of all clips, since which of them are trained on is not known here, `condition` [N,L,C], with
    `condition_target: augmented` also `condition_variants` [N,Kt,L,C], `latents` [N,F,c,h,w], multiplied by the VAE's
    scaling factor. json: the sizes, and the fraction of words that the text encoder does not know. Clips are read, and
    rows written, some at a time.

    Raises:
        ValueError: A backbone cannot be loaded, or the config's sizes differ from the backbone's.
    """
    config, sources = task.config.features, task.config.backbones
    stimuli = read_stimuli(task.inputs, task.config.dataset)
    device = pick_device("auto")
    vae = load_vae(sources.stable_diffusion, device=device)
    _check_latent_size(vae, config)
    encoder = load_text_encoder(sources.stable_diffusion, device=device)
    clip = load_clip(sources.clip, device=device)
    encoding = vae.encoding(config.resolution)
    if encoding.warning is not None:
        task.context.telemetry.warn(encoding.warning)
    pictures = _pictures(vae, clip, stimuli, config, at_once=encoding.rows)
    path = task.context.output / "features.safetensors"
    with _Rows(path, len(stimuli.clips)) as rows:
        rows.take({"texts": _texts(clip, encoder, stimuli, config), "pictures": pictures})
    described = _describe(rows.shapes, vae=vae, encoder=encoder, captions=stimuli.first_captions)
    (task.context.output / "features.json").write_text(json.dumps(described), encoding="utf-8")
    info = {"device": str(device), "unknown_words": f"{described['unknown_words']:.3f}"}
    return StageResult(info={**info, "encoded_at_once": str(encoding.rows)})


class _Rows:
    """Writes the rows of all features as they come; shapes are those of the first rows of each."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._stack = ExitStack()
        self._logged = time.monotonic()
        self.shapes: dict[str, TensorShape] = {}

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def take(self, streams: Mapping[str, Iterator[tuple[int, Seen]]]) -> None:
        """Write all rows of `streams`, each of which yields the number of a first clip, and rows by feature."""
        firsts = {name: next(stream) for name, stream in streams.items()}
        rows = {name: tensor for _, tensors in firsts.values() for name, tensor in tensors.items()}
        shapes = {name: (self._count, *tensor.shape[1:]) for name, tensor in rows.items()}
        self.shapes = {name: TensorShape("float32", shape) for name, shape in shapes.items()}
        file = self._stack.enter_context(TensorWriter(self._path, self.shapes))
        for name, stream in streams.items():
            self._write(file, *firsts[name], what=name)
            for first, tensors in stream:
                self._write(file, first, tensors, what=name)

    def _write(self, file: TensorWriter, first: int, tensors: Seen, *, what: str) -> None:
        for name, tensor in tensors.items():
            file.write(name, first, tensor.float().cpu().numpy())
        done = first + len(next(iter(tensors.values())))
        if time.monotonic() - self._logged > _LOG_SECONDS or done == self._count:
            logger.info("features of the %s of %d of %d clips", what, done, self._count)
            self._logged = time.monotonic()


def _check_latent_size(vae: Vae, config: FeaturesConfig) -> None:
    size = vae.latent_size(config.resolution)
    if size != config.latent_size:
        raise ValueError(
            f"features.latent_size must be {size}, the side of this VAE's latent of a {config.resolution}-pixel image, "
            f"but got {config.latent_size}"
        )


def _describe(
    shapes: Mapping[str, TensorShape], *, vae: Vae, encoder: TextEncoder, captions: Sequence[str]
) -> dict[str, Any]:
    unknown = encoder.unknown(captions)
    if unknown > 0:
        logger.warning(
            "the text encoder does not know %.1f %% of the words in the captions; clips whose captions differ in such "
            "words only have one text embedding",
            100 * unknown,
        )
    _, _, channels, size, _ = shapes["latents"].shape
    _, tokens, width = shapes["condition"].shape
    return {
        "latent_channels": channels,
        "latent_size": size,
        "scaling_factor": vae.scaling_factor,
        "clip_dim": shapes["clip_text"].shape[1],
        "condition_dim": width,
        "condition_tokens": tokens,
        "unknown_words": unknown,
    }


def _texts(
    clip: ClipModel, encoder: TextEncoder, stimuli: Stimuli, config: FeaturesConfig
) -> Iterator[tuple[int, Seen]]:
    """Yield `clip_text`, `clip_text_variants` and `condition` of some clips at a time."""
    rng = np.random.default_rng(derived_seed(config.seed, "features", "text"))
    count = config.text_variants
    altering = partial(
        variants, count=count, rng=rng, operations=config.text_operations, synonyms=load_synonyms(config.synonyms)
    )

    def encode(part: Sequence[str]) -> Tensor:
        return encoder.encode(part, tokens=config.condition_tokens)

    for first in range(0, len(stimuli.captions), _TEXT_CLIPS):
        several = stimuli.captions[first : first + _TEXT_CLIPS]
        captions = [texts[0] for texts in several]
        altered = [text for texts in several for text in altering(texts)]
        embedded = _by_batch([*captions, *altered], config, clip.texts)
        plain, rest = embedded[: len(captions)], embedded[len(captions) :]
        augmented = config.condition_target == "augmented" and count > 0
        condition = _by_batch([*captions, *altered] if augmented else captions, config, encode)
        seen = {
            "clip_text": plain,
            "clip_text_variants": rest.reshape(len(captions), count, plain.shape[1]),
            "condition": condition[: len(captions)],
        }
        if augmented:
            seen["condition_variants"] = condition[len(captions) :].reshape(len(captions), count, *condition.shape[1:])
        yield first, seen


def _by_batch(captions: Sequence[str], config: FeaturesConfig, encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
    # Captions and their variants are often equal; each distinct text is encoded once.
    distinct = sorted(set(captions))
    parts = [distinct[i : i + config.batch_size] for i in range(0, len(distinct), config.batch_size)]
    encoded = torch.cat([encode(part).cpu() for part in parts])
    row = {text: index for index, text in enumerate(distinct)}
    return encoded[[row[text] for text in captions]]


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
    shared = (1, config.image_variants) if config.crop_position == "shared" else size
    frame, top, left = (
        np.broadcast_to(rng.integers(n, size=drawn), size)
        for n, drawn in ((frames, size), (height - side + 1, shared), (width - side + 1, shared))
    )
    if config.image_target == "fixed_frame":
        frame = np.full(size, min(FIXED_FRAME, frames - 1))
    return Views(frame, top, left, side)


def _pictures(
    vae: Vae, clip: ClipModel, stimuli: Stimuli, config: FeaturesConfig, *, at_once: int
) -> Iterator[tuple[int, Seen]]:
    """Yield `clip_image`, `clip_image_variants` and `latents` of some clips at a time; `at_once` frames are encoded."""
    device = next(vae.model.parameters()).device
    draw = torch.Generator().manual_seed(derived_seed(config.seed, "features", "latents"))
    generator = draw if config.latents == "sample" else None
    for rows, clips, views in _chunks(stimuli.clips, config):
        frames = torch.split(clips.to(device).flatten(0, 1), at_once)
        latents = vae.encode_parts((_resized(part, config.resolution) for part in frames), generator=generator)
        image = _clip_target(clip, clips.to(device), config)
        varied = image[:, None].repeat(1, config.image_variants, 1)
        if config.image_variants > 0:
            varied = clip.images(views.cut(clips, rows).to(device)).reshape(varied.shape)
        latents = latents.reshape(*clips.shape[:2], *latents.shape[1:])
        yield rows.start, {"clip_image": image, "clip_image_variants": varied, "latents": latents}


def _chunks(clips: ClipSequence, config: FeaturesConfig) -> Iterator[tuple[slice, Tensor, Views]]:
    """Yield clips with about `batch_size` frames at a time."""
    views = _views(clips.shape, config)
    step = max(1, config.batch_size // clips.shape[1])
    for first in range(0, len(clips), step):
        rows = slice(first, first + step)
        yield rows, torch.from_numpy(np.array(clips[rows])), views


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
