"""The han stage: one frame per clip, from a latent that a linear model predicts."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.backbones.load import load_vae
from trainables.config.linear_systems import HanConfig
from trainables.config.video import GeneratorConfig
from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.ridge import RidgeSolver
from trainables.stages.autoencoder import TrainedAutoencoder
from trainables.stages.decoding import HELD_OUT, SplitRows, read_rows, split_index
from trainables.stages.generation import FrameDecoder
from trainables.system_videos import read_clips, write_videos

Frames = NDArray[np.uint8]
FramesOf = Callable[[Tensor], Frames]
_AT_ONCE = 64


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors` with one frame per held-out clip, and `ceiling`: the same of true latents.

    Metrics: `latent_r2`, 1 - squared error / squared distance of the target from its mean over training clips, over all
    values of the clips of a split. Chance is 0.

    Raises:
        ValueError: A split has no clips, or the VAE cannot be loaded.
    """
    config = task.config.han
    targets, frames_of = _targets(task, config)
    rows = read_rows(task, (), device=torch.device("cpu"))
    predicted, penalty = _predicted(rows, targets, config)
    index = torch.cat([rows[name].index for name in HELD_OUT])
    made, true = (frames_of(torch.cat([values[name] for name in HELD_OUT])) for values in (predicted, targets))
    write_videos(task, made, index.numpy(), ceiling=true)
    validation, test = (explained(predicted[name], targets[name], targets["train"]) for name in HELD_OUT)
    metrics = {"latent_r2": validation, "test_latent_r2": test}
    return StageResult(metrics, info={"penalty": f"{penalty:.4g}", "clips": str(len(index))})


def _targets(task: StageTask, config: HanConfig) -> tuple[dict[str, Tensor], FramesOf]:
    """Return what is predicted, by split, and what makes frames of it."""
    if config.target == "pixels":
        return _pixels(task, config), _as_pixels
    if config.vae == "global":
        return _own_latents(task, config)
    latents = _latents(task, config)
    return latents, _frames_of_latents(task, latents["train"].shape[-2:])


def explained(predicted: Tensor, truth: Tensor, known: Tensor) -> float:
    """Return 1 - squared error of `predicted` / that of the mean of `known`; rows are clips."""
    centre = known.double().mean(dim=0)
    errors = (predicted.double() - truth.double()).square().sum(), (truth.double() - centre).square().sum()
    return float(1 - errors[0] / errors[1])


def _predicted(
    rows: Mapping[str, SplitRows], targets: Mapping[str, Tensor], config: HanConfig
) -> tuple[dict[str, Tensor], float]:
    """Return the predictions of each held-out split, in the shape of the targets, and the penalty."""
    shape = targets["train"].shape[1:]
    known = targets["train"].flatten(1)
    solution = RidgeSolver.of(rows["train"].fmri).chosen(
        known,
        validation=(rows["validation"].fmri, targets["validation"].flatten(1)),
        penalties=config.alphas,
        per="all",
    )
    found = {name: rows[name].fmri @ solution.weight.T + solution.bias for name in ("train", *HELD_OUT)}
    if config.spread == "restored":
        centre = known.mean(dim=0)
        shrunk = found["train"].std(dim=0)
        gain = known.std(dim=0) / torch.where(shrunk > 0, shrunk, torch.ones_like(shrunk))
        found = {name: centre + (values - centre) * gain for name, values in found.items()}
    return {name: found[name].view(-1, *shape) for name in HELD_OUT}, float(solution.penalty[0])


def _latents(task: StageTask, config: HanConfig) -> dict[str, Tensor]:
    """Return the latents [n,c,h,w] of the chosen frame, by split."""
    rows = read_rows(task, ("latents",), device=torch.device("cpu"))
    return {name: _one(split.features["latents"].float(), config) for name, split in rows.items()}


def _own_latents(task: StageTask, config: HanConfig) -> tuple[dict[str, Tensor], FramesOf]:
    """Return the latents [n,L] of the stage `autoencoder`, by split, and its decoder."""
    own, clips = TrainedAutoencoder(task.inputs["autoencoder"], pick_device("auto")), read_clips(task)

    def blocks(index: Tensor) -> Iterator[Tensor]:
        for clip in index.tolist():
            yield _one(own.latents(_shown(np.array(clips[clip : clip + 1]), config)), config)

    targets = {name: torch.cat(list(blocks(index))) for name, index in split_index(task).items()}
    return targets, own.frames


def _shown(clips: Frames, config: HanConfig) -> Frames:
    """Return clips [n,F,H,W,3] with the frames alone that the target is made of."""
    if config.frame == "mean":
        return clips
    frame = 0 if config.frame == "first" else clips.shape[1] // 2
    return clips[:, frame : frame + 1]


def _pixels(task: StageTask, config: HanConfig) -> dict[str, Tensor]:
    """Return the chosen frame [n,H,W,3] from 0 to 255, by split."""
    clips = read_clips(task)

    def blocks(index: Tensor) -> Iterator[Tensor]:
        for clip in index.tolist():
            yield _one(torch.from_numpy(np.array(clips[clip : clip + 1])).float(), config)

    return {name: torch.cat(list(blocks(index))) for name, index in split_index(task).items()}


def _one(videos: Tensor, config: HanConfig) -> Tensor:
    """Return one frame [n,...] of videos [n,F,...]."""
    if config.frame == "mean":
        return videos.mean(dim=1)
    return videos[:, 0 if config.frame == "first" else videos.shape[1] // 2]


def _as_pixels(values: Tensor) -> Frames:
    return values[:, None].round().clamp(0, 255).to(torch.uint8).numpy()


def _frames_of_latents(task: StageTask, size: Sequence[int]) -> FramesOf:
    """Return what makes frames [n,1,H,W,3] of latents [n,c,h,w] of this height and width, by the VAE alone."""
    vae = load_vae(task.config.backbones.stable_diffusion, device=pick_device("auto"))
    decoding = vae.decoding(size)
    if decoding.warning is not None:
        task.context.telemetry.warn(decoding.warning)
    decoder = FrameDecoder(vae, decoding.rows, GeneratorConfig())  # settings of the diffusion model change nothing here

    def frames(latents: Tensor) -> Frames:
        return np.concatenate([decoder(part) for part in torch.split(latents, _AT_ONCE)])[:, None]

    return frames
