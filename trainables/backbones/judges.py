"""Trains the phantom's judges: a ViT that names shape and colour of a frame, a VideoMAE that names shape and direction.

Judges see what generators make, so a part of what they are trained on is blurred, noisy, darker or brighter, or has
been through the phantom's VAE. Every step draws new clips.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification

from trainables.backbones.load import Vae, load_vae
from trainables.backbones.material import TRAINING, LabelledClips, draw_clips, pixels
from trainables.backbones.preparation import Preparation
from trainables.datasets.phantom.stimuli import COLOURS, DIRECTIONS, SHAPES, SIDE, STEPS, Factors

logger = logging.getLogger(__name__)

JUDGE_PREPARATION = Preparation(size=int(SIDE), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""The same as `material.pixels`."""
_DEGRADED = 0.25
"""Share of clips that meet each kind of damage."""


@dataclass(frozen=True)
class Judge:
    """What one of the two classifiers tells apart."""

    labels: tuple[str, ...]
    truth: Callable[[Factors], NDArray[np.int64]]
    """Factors of N clips to their classes [N]."""


IMAGE = Judge(
    tuple(f"{colour} {shape}" for shape, colour in product(SHAPES, COLOURS)),
    lambda factors: factors.shape * len(COLOURS) + factors.colour,
)
"""`red disc`: 8 colours of every shape."""
VIDEO_JUDGE = Judge(
    tuple(f"{shape} moving {way}" for shape, way in product(SHAPES, DIRECTIONS)),
    lambda factors: factors.shape * len(DIRECTIONS) + factors.direction,
)
"""`disc moving left`: 8 directions of every shape."""


def build_image_classifier() -> Any:
    """Return the untrained ViT (0.40 M parameters): 4 layers on patches of 8 pixels."""
    return ViTForImageClassification(ViTConfig(**_size(96), **_labels(IMAGE)))


def build_video_classifier(*, frames: int = STEPS) -> Any:
    """Return the untrained VideoMAE (0.49 M parameters): 4 layers on patches of 8 pixels and 2 frames."""
    fields = {**_size(96), **_labels(VIDEO_JUDGE), "num_frames": frames, "tubelet_size": 2}
    return VideoMAEForVideoClassification(VideoMAEConfig(**fields))


def _size(width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": JUDGE_PREPARATION.size,
        "patch_size": 8,
        "initializer_range": 0.08,  # the usual 0.02 suits a width of 768; here it hides frames behind positions
    }


def _labels(judge: Judge) -> dict[str, Any]:
    return {"id2label": dict(enumerate(judge.labels)), "label2id": {name: i for i, name in enumerate(judge.labels)}}


def train_image_classifier(out: Path, diffusion: Path, *, seed: int, steps: int, pool: int = 1200) -> None:
    """Train on single frames and save model and preprocessing to `out`.

    `pool` clips are shown as the VAE in `diffusion` returns them. So that the network looks for the object from the
    first, it is also taught where that is, by outputs that are cut off in the end.
    """
    torch.manual_seed(seed)
    model = build_image_classifier()
    sizes = [len(IMAGE.labels), 2]
    _widen(model, sizes)
    supply = _Supply(_pool(diffusion, seed=seed, count=pool, frames=1), seed=seed, fresh=54, coded=10)

    def loss(step: int) -> Tensor:
        clips, factors = supply.batch(step)
        classes, position = model(pixel_values=clips[:, 0]).logits.split(sizes, dim=1)
        return F.cross_entropy(classes, torch.from_numpy(IMAGE.truth(factors))) + F.mse_loss(
            position, _position(factors)
        )

    optimise(model, loss, steps=steps, name="image classifier")
    _save(model, out, classes=sizes[0])


def train_video_classifier(out: Path, diffusion: Path, *, seed: int, steps: int, pool: int = 150) -> None:
    """Train first on pairs of frames, for seven tenths of `steps`, then on clips; else as `train_image_classifier`.

    On clips alone the same time teaches it directions, but shapes (39% right) hardly: a pair costs a quarter.
    """
    torch.manual_seed(seed)
    pair_model, clip_model = build_video_classifier(frames=2), build_video_classifier()
    sizes = [len(VIDEO_JUDGE.labels), 4, len(COLOURS)]
    for model in (pair_model, clip_model):
        _widen(model, sizes)
    coded = _pool(diffusion, seed=seed, count=pool, frames=STEPS)
    many, few = (_Supply(coded, seed=seed + i, fresh=n * 7, coded=n) for i, n in enumerate((4, 2)))

    def of_pairs(step: int) -> Tensor:
        clips, factors = many.batch(step)
        ends = torch.cat((clips[:, :2], clips[:, -2:]))
        positions = torch.cat((_position(factors), _position(factors, frame=STEPS - 2)))
        return _video_loss(pair_model(pixel_values=ends).logits.split(sizes, dim=1), factors.join(factors), positions)

    def of_clips(step: int) -> Tensor:
        clips, factors = few.batch(step)
        return _video_loss(clip_model(pixel_values=clips).logits.split(sizes, dim=1), factors, _position(factors))

    first = steps * 7 // 10
    optimise(pair_model, of_pairs, steps=first, name="video classifier, pairs")
    clip_model.load_state_dict(pair_model.state_dict())  # positions of patches are no parameters
    optimise(clip_model, of_clips, steps=steps - first, name="video classifier, clips")
    _save(clip_model, out, classes=sizes[0])


def _video_loss(outputs: Sequence[Tensor], factors: Factors, positions: Tensor) -> Tensor:
    """Return the loss of classes, of place and velocity, and of colour."""
    classes, motion, colours = outputs
    true_motion = torch.cat((positions, torch.from_numpy(factors.velocity) / 1.5), dim=1)
    class_loss = F.cross_entropy(classes, torch.from_numpy(VIDEO_JUDGE.truth(factors)))
    return class_loss + F.mse_loss(motion, true_motion) + F.cross_entropy(colours, torch.from_numpy(factors.colour))


def _widen(model: Any, sizes: list[int]) -> None:
    """Give `model` as many outputs as `sizes` say."""
    model.classifier = nn.Linear(model.config.hidden_size, sum(sizes))


def _position(factors: Factors, *, frame: int = 0) -> Tensor:
    """Return where the object is in one of eight frames, [N,2], of about unit variance."""
    return torch.from_numpy((factors.positions(STEPS)[:, frame] - SIDE / 2) / 10.0).float()


def _pool(diffusion: Path, *, seed: int, count: int, frames: int) -> LabelledClips:
    """Draw clips and show them as the VAE returns them."""
    material, vae = draw_clips(TRAINING, seed=seed, count=count, frames=frames), load_vae(str(diffusion))
    for clip in material.clips:
        clip[:] = coded_frames(vae, clip)
    return material


class _Supply:
    """What a judge is trained on: at every step `fresh` new clips, and `coded` ones of a pool that were in the VAE.

    Coding costs more than training, so it is done once.
    """

    def __init__(self, pool: LabelledClips, *, seed: int, fresh: int, coded: int) -> None:
        self._pool, self._seed, self._fresh, self._coded = pool, seed, fresh, coded
        self._rng = np.random.default_rng(seed)

    def batch(self, step: int) -> tuple[Tensor, Factors]:
        """Return N clips [N,F,3,H,W] (-1 to 1) and what they show."""
        # no two steps of two seeds share their clips, nor does any with the pool
        new = draw_clips(
            TRAINING, seed=(self._seed + 1) * 1_000_000 + step, count=self._fresh, frames=self._pool.clips.shape[1]
        )
        rows = self._rng.integers(len(self._pool.clips), size=self._coded)
        clips = np.concatenate([new.clips, self._pool.clips[rows]])
        return degrade(clips, self._rng), new.factors.join(self._pool.factors.select(rows))


def coded_frames(vae: Vae, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return frames [F,H,W,3] as the VAE returns them."""
    decoded = vae.decode(vae.encode(pixels(frames))).permute(0, 2, 3, 1)
    return ((decoded + 1.0) * 127.5).round().byte().numpy()


def degrade(clips: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Return clips [N,F,H,W,3] as [N,F,3,H,W] (-1 to 1), some of them blurred, darker or brighter, or noisy."""
    count, frames = clips.shape[:2]
    flat = pixels(clips.reshape(-1, *clips.shape[2:]))
    values = flat.reshape(count, frames, *flat.shape[1:])
    blurred, lit, noisy = rng.random((3, count)) < _DEGRADED
    if blurred.any():
        values[torch.from_numpy(blurred)] = _blur(values[torch.from_numpy(blurred)], sigma=rng.uniform(0.5, 1.5))
    gain = _per_clip(np.where(lit, rng.uniform(0.75, 1.25, count), 1.0))
    strength = _per_clip(np.where(noisy, rng.uniform(0.02, 0.2, count), 0.0))
    noise = torch.from_numpy(rng.standard_normal(values.shape, dtype=np.float32))
    result: Tensor = (values + 1.0) * gain - 1.0 + strength * noise
    return result.clamp(-1.0, 1.0)


def _per_clip(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float().view(-1, 1, 1, 1, 1)


def _blur(values: Tensor, *, sigma: float) -> Tensor:
    """Blur [...,H,W] by a Gaussian of `sigma` pixels."""
    kernel = torch.exp(-0.5 * (torch.arange(-4, 5) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    planes = F.pad(values.reshape(-1, 1, *values.shape[-2:]), (4, 4, 4, 4), mode="reflect")
    return F.conv2d(F.conv2d(planes, kernel), kernel.transpose(2, 3)).reshape(values.shape)


def optimise(model: nn.Module, loss: Callable[[int], Tensor], *, steps: int, name: str) -> None:
    """Minimise `loss`, a function of the step from 1, by AdamW with one cycle of the learning rate."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps, pct_start=0.1)
    model.train()
    smooth = 0.0
    for step in range(1, steps + 1):
        value = loss(step)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        smooth += (value.item() - smooth) / min(step, 50)
        if step % 25 == 0:
            logger.info("%s step %d of %d: loss %.4f", name, step, steps, smooth)
    model.eval()


def _save(model: Any, out: Path, *, classes: int) -> None:
    """Save `model` with the first `classes` of its outputs."""
    for name in ("weight", "bias"):
        setattr(model.classifier, name, nn.Parameter(getattr(model.classifier, name)[:classes].clone()))
    model.half().save_pretrained(out)
    fields = {"size": JUDGE_PREPARATION.size, "image_mean": JUDGE_PREPARATION.mean, "image_std": JUDGE_PREPARATION.std}
    (out / "preprocessor_config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
