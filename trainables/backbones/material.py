"""The clips that the phantom's backbones are trained and judged on.

They come from random streams of their own (a spawn key that no data set uses), so whatever seed a user gives a data
set, none of its clips was seen by a backbone. Captions do recur: there are only 16384 of them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.phantom.stimuli import SIDE, Factors, captions, render, sample_factors

TRAINING, HELD_OUT = 7001, 7002


@dataclass(frozen=True)
class LabelledClips:
    """Clips with what is known of them."""

    factors: Factors
    clips: NDArray[np.uint8]
    """[N,F,H,W,3]."""
    captions: tuple[str, ...]


def draw_clips(stream: int, *, seed: int, count: int, frames: int, distinct: bool = False) -> LabelledClips:
    """Draw `count` clips from one of the two streams; with `distinct`, no two share a caption."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))
    factors = sample_factors(rng, 4 * count if distinct else count)
    if distinct:
        _, first = np.unique(np.array(captions(factors)), return_index=True)
        factors = factors.select(np.sort(first)[:count])
    return LabelledClips(factors, render(factors, frames=frames), captions(factors))


def pixels(frames: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 [N,H,W,3] into what a VAE sees: float [N,3,H,W] from -1 to 1."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def crops(material: LabelledClips, rng: np.random.Generator, *, count: int, side: int = 32) -> Tensor:
    """Cut random squares, three in four of them around the object, which is where a VAE errs; [count,3,side,side]."""
    clips = material.clips
    clip, frame = rng.integers(len(clips), size=count), rng.integers(clips.shape[1], size=count)
    scale = clips.shape[2] / SIDE
    near = material.factors.positions(clips.shape[1])[clip, frame] * scale + rng.uniform(-8, 8, (count, 2)) - side / 2
    anywhere = rng.uniform(0, clips.shape[2] - side + 1, (count, 2))
    corner = np.where(rng.random((count, 1)) < 0.75, near, anywhere).astype(int).clip(0, clips.shape[2] - side)
    cut = [clips[c, f, y : y + side, x : x + side] for c, f, (x, y) in zip(clip, frame, corner, strict=True)]
    return pixels(np.stack(cut))
