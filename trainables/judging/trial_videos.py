"""The videos of a trial for its evaluation: true clips, reconstructions and controls at one size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from storage.runs import Artifacts
from trainables.config.video import EvaluateConfig
from trainables.datasets.phantom.stimuli import COLOURS, SHAPES, from_json, object_mask
from trainables.datasets.video_io import resample
from trainables.metrics.clip import Clip
from trainables.metrics.objects import KnownObject

Tensors = Mapping[str, NDArray[Any]]
_RECONSTRUCTIONS = {"system": "videos", "plain": "plain"}
_CONTROLS = {"ceiling": "ceiling", "ceiling_plain": "ceiling_plain"}


@dataclass(frozen=True)
class SplitVideos:
    """The n clips of one split. All videos have the same shape."""

    split: str
    clips: tuple[int, ...]
    """Indices of the clips in the data set."""
    names: tuple[str, ...]
    captions: tuple[str, ...]
    videos: Mapping[str, Clip]
    """Name to uint8 [n,F,H,W,3]: `truth`, and each system with a video of its own. Shuffled and static videos are
    derived from these."""
    mean_latent: Clip
    """uint8 [F,H,W,3], the same for all clips."""
    known: tuple[KnownObject | None, ...]
    """The planted object of each clip; None if the data set is not simulated."""


def read_material(inputs: Mapping[str, Artifacts], config: EvaluateConfig) -> Iterator[SplitVideos]:
    """Yield the splits with reconstructions.

    Args:
        inputs: The stage runs `data`, `voxels`, `reconstruct` and `controls`.
        config: Size of the videos, and seed of the random clips.

    Raises:
        ValueError: Reconstructions and controls are of different clips.
    """
    facts, split = inputs["data"].json("data.json"), inputs["voxels"].json("voxels.json")["split"]
    reconstructions, controls = (
        _tensors(inputs[stage].path("videos.safetensors")) for stage in ("reconstruct", "controls")
    )
    index = reconstructions["index"].tolist()
    if index != controls["index"].tolist():
        raise ValueError(
            f"reconstruct has videos of {len(index)} clips, controls of other clips; both must be of the same clips"
        )
    training = [clip for clip, member in enumerate(split) if member == "train"]
    rng = np.random.default_rng(config.seed)
    clips = inputs["data"].path("clips.safetensors")
    for name in ("validation", "test"):
        rows = [row for row, clip in enumerate(index) if split[clip] == name]
        if not rows:
            continue
        chosen = [index[row] for row in rows]
        random = rng.choice(training, size=len(rows)).tolist()
        raw = {
            "truth": _clips(clips, chosen),
            "random_clip": _clips(clips, random),
            **{system: reconstructions[key][rows] for system, key in _RECONSTRUCTIONS.items()},
            **{system: controls[key][rows] for system, key in _CONTROLS.items()},
        }
        yield _material(name, chosen, raw, controls["mean_latent"], facts, side=config.resolution)


def _material(
    split: str,
    chosen: list[int],
    raw: Mapping[str, Clip],
    mean_latent: Clip,
    facts: Mapping[str, Any],
    *,
    side: int | None,
) -> SplitVideos:
    truth = raw["truth"]
    size = (side, side) if side is not None else (truth.shape[2], truth.shape[3])
    frames = min(truth.shape[1], mean_latent.shape[0])
    videos = {
        name: np.stack([resample(clip, frames=frames, size=size) for clip in clips]) for name, clips in raw.items()
    }
    return SplitVideos(
        split,
        tuple(chosen),
        tuple(str(facts["source"][clip]) for clip in chosen),
        tuple(facts["captions"][clip] for clip in chosen),
        videos,
        resample(mean_latent, frames=frames, size=size),
        tuple(_known(facts["factors"], chosen, frames=frames, resolution=size[0])),
    )


def _tensors(path: Path) -> Tensors:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping


def _clips(path: Path, rows: list[int]) -> Clip:
    """Return the clips `rows`, uint8 [n,F,H,W,3]. No other clip is read."""
    with safe_open(path, framework="numpy") as file:
        stored = file.get_slice("clips")
        return np.concatenate([stored[row : row + 1] for row in rows])


def _known(
    factors: Mapping[str, Any] | None, chosen: list[int], *, frames: int, resolution: int
) -> Iterator[KnownObject | None]:
    """Yield the planted object of each clip, or None if the data set is not simulated."""
    if factors is None:
        yield from [None] * len(chosen)
        return
    planted = from_json(factors).select(np.array(chosen))
    masks = object_mask(planted, frames=frames, resolution=resolution)
    for mask, shape, colour in zip(masks, planted.shape, planted.colour, strict=True):
        yield KnownObject(mask, int(shape), int(colour), (len(SHAPES), len(COLOURS)))
