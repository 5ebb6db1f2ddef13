"""Functions of reconstructions and controls: loading frozen networks, generating latents, decoding them to frames."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.backbones.load import Vae, load_generator, load_text_encoder, load_vae
from trainables.context import StageTask
from trainables.networks.generator import Prompts, VideoGenerator
from trainables.stages.feeding import Fed
from trainables.tensors import TensorShape, TensorWriter

logger = logging.getLogger(__name__)


class NotFiniteError(RuntimeError):
    """The generator returned NaN or infinity."""


@dataclass(frozen=True)
class Made:
    """Denoised latents, and the reported metrics per epoch."""

    latents: Tensor
    """[n,F,c,h,w], on the CPU."""
    history: tuple[dict[str, float], ...]


def read_prompts(task: StageTask, *, device: torch.device) -> tuple[Prompts, Tensor]:
    """Return the generator's fixed prompts, and the empty prompt's condition with the clips' length, [L,C]."""
    encoder = load_text_encoder(task.config.backbones.stable_diffusion, device=device)
    tokens: int = task.inputs["features"].json("features.json")["condition_tokens"]
    empty = encoder.encode([""], tokens=encoder.model.config.max_position_embeddings)[0]
    negative, nothing = encoder.encode([task.config.generator.negative_prompt, ""], tokens=tokens)
    return Prompts(empty, negative), nothing


def generate(task: StageTask, fed: Fed, *, prompts: Prompts, device: torch.device) -> Made:
    """Run the generator for all videos of `fed`, `batch_clips` at a time. Continues from the latest checkpoint.

    Raises:
        ValueError: The UNet cannot be loaded or does not fit the features.
        NotFiniteError: A video has NaN or infinity.
    """
    config, total = task.config.generator, len(fed.seeds)
    diffusion = load_generator(task.config.backbones.stable_diffusion, precision=config.precision, device=device)
    frames, channels, side = fed.latents.shape[1:4]
    diffusion.check(condition=fed.conditions.shape[-1], channels=channels, side=side)
    draw = VideoGenerator(diffusion.unet, diffusion.schedule, config, prompts=prompts, frames=frames)
    parts = _resumed(task)
    before, started = sum(map(len, parts)), time.monotonic()
    for first in range(before, total, config.batch_clips):
        rows = slice(first, min(first + config.batch_clips, total))
        parts.append(draw(fed.latents[rows], fed.conditions[rows], seeds=fed.seeds[rows]).cpu())
        _check(parts[-1], first=first, precision=config.precision)
        left = (time.monotonic() - started) / (rows.stop - before) * (total - rows.stop)
        logger.info("%d of %d clips, %.0f s left", rows.stop, total, left)
        epoch = -(-rows.stop // config.batch_clips)
        if rows.stop < total:
            _save(task, epoch, parts)
        task.context.report(epoch, {"clips": float(rows.stop)})
    ends = [*range(config.batch_clips, total, config.batch_clips), total]
    return Made(torch.cat(parts), tuple({"clips": float(end)} for end in ends))


def write_videos(
    path: Path, vae: Vae, latents: Mapping[str, Tensor], *, index: Tensor, single: Mapping[str, Tensor] | None = None
) -> None:
    """Decode latents clip by clip into a file of videos, uint8; no more than one clip's frames are in memory.

    Args:
        path: The file, which also gets `index`.
        vae: The decoder.
        latents: Name to [n,F,c,h,w], written as [n,F,H,W,3].
        index: The number of each clip in the data set, [n].
        single: Name to [F,c,h,w], written as [F,H,W,3].
    """
    alone = {} if single is None else single
    shapes = {name: (*values.shape[:-3], *vae.image_size(values.shape[-2:]), 3) for name, values in latents.items()}
    shapes |= {name: (*values.shape[:-3], *vae.image_size(values.shape[-2:]), 3) for name, values in alone.items()}
    tensors = {name: TensorShape("uint8", shape) for name, shape in shapes.items()}
    with TensorWriter(path, {**tensors, "index": TensorShape("int64", index.shape)}) as file:
        file.write_whole("index", index.numpy())
        for name, clips in latents.items():
            for row, clip in enumerate(clips):
                file.write(name, row, _decoded(vae, clip)[None])
        for name, clip in alone.items():
            file.write_whole(name, _decoded(vae, clip))


def _decoded(vae: Vae, latents: Tensor) -> NDArray[np.uint8]:
    """Return the frames, uint8 [F,H,W,3], of latents [F,c,h,w]."""
    device = next(vae.model.parameters()).device
    images = vae.decode(latents.to(device)).movedim(1, -1)
    frames: NDArray[np.uint8] = ((images + 1.0) * 127.5).round().to(torch.uint8).cpu().numpy()
    return frames


def load_vae_decoder(task: StageTask, *, device: torch.device) -> Vae:
    """Return the VAE of the trial's Stable Diffusion."""
    return load_vae(task.config.backbones.stable_diffusion, device=device)


def _check(latents: Tensor, *, first: int, precision: str) -> None:
    finite = latents.flatten(1).isfinite().all(dim=1)
    if not finite.all():
        clip = first + int((~finite).int().argmax())
        raise NotFiniteError(
            f"video {clip + 1} has NaN or infinity with generator.precision {precision}; "
            + ("bf16 and fp32 have a larger range" if precision == "fp16" else "check that its features are finite")
        )


def _resumed(task: StageTask) -> list[Tensor]:
    latest = task.context.checkpoints.latest()
    return [] if latest is None else [load_file(latest[1] / "latents.safetensors")["latents"]]


def _save(task: StageTask, epoch: int, parts: list[Tensor]) -> None:
    """Save the finished latents. They are much smaller than decoded frames."""
    with task.context.checkpoint(epoch) as folder:
        save_file({"latents": torch.cat(parts)}, folder / "latents.safetensors")
