"""Functions of reconstructions and controls: loading frozen networks, generating latents, decoding them to frames."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.load import Vae, load_generator, load_text_encoder, load_vae
from trainables.config.video import GeneratorConfig
from trainables.context import StageTask
from trainables.datasets.video_io import as_gif
from trainables.gpu import refuse_lacking
from trainables.networks.generator import Prompts, VideoGenerator
from trainables.stages.decoding import BATCH
from trainables.stages.feeding import Fed
from trainables.tensors import TensorShape, TensorWriter

logger = logging.getLogger(__name__)


class NotFiniteError(RuntimeError):
    """The generator returned NaN or infinity."""


class InputBlocks(Protocol):
    """The generator's inputs for n videos, by ranges."""

    @property
    def video(self) -> Sequence[int]:
        """F, c, h, w of the latents."""

    def __len__(self) -> int:
        """Return n."""

    def block(self, rows: slice) -> Fed:
        """Return the inputs of the videos `rows`."""


@dataclass(frozen=True)
class Batch:
    """Some finished videos."""

    first: int
    """The number of the first one."""
    latents: Tensor
    """Denoised, [n,F,c,h,w], on the CPU."""
    plain: Tensor
    """The latents that were fed, [n,F,c,h,w]."""


def read_prompts(task: StageTask, *, device: torch.device) -> tuple[Prompts, Tensor]:
    """Return the generator's fixed prompts, and the empty prompt's condition with the clips' length, [L,C]."""
    encoder = load_text_encoder(task.config.backbones.stable_diffusion, device=device)
    tokens: int = task.inputs["features"].json("features.json")["condition_tokens"]
    empty = encoder.encode([""], tokens=encoder.model.config.max_position_embeddings)[0]
    negative, nothing = encoder.encode([task.config.generator.negative_prompt, ""], tokens=tokens)
    return Prompts(empty, negative), nothing


def history(task: StageTask, total: int) -> tuple[dict[str, float], ...]:
    """Return the reported metrics per epoch, which is a batch of clips."""
    step = task.config.generator.batch_clips
    return tuple({"clips": float(end)} for end in [*range(step, total, step), total])


def generate(
    task: StageTask,
    source: InputBlocks,
    *,
    prompts: Prompts,
    device: torch.device,
    adapt: Callable[[Any], None] | None = None,
) -> Iterator[Batch]:
    """Yield all videos of `source` in order, `batch_clips` at a time. Batches of a checkpoint are not made again.

    `adapt` changes the UNet, once it is a video model, before the first video is made.

    Raises:
        ValueError: The UNet cannot be loaded or does not fit the features.
        NotFiniteError: A video has NaN or infinity.
    """
    config, total = task.config.generator, len(source)
    draw = _generator(task, source, prompts=prompts, device=device)
    if adapt is not None:
        adapt(draw.unet)
    kept = _Kept(task, total, source.video)
    clock = _Clock(total)
    unsaved: list[Tensor] = []
    for rows, fed in _batches(source, config.batch_clips):
        latents = kept.latents(rows)
        if latents is None:
            latents = draw(fed.latents, fed.conditions, seeds=fed.seeds).cpu()
            _check(latents, first=rows.start, precision=config.precision)
            clock.log(rows)
            epoch = -(-rows.stop // config.batch_clips)
            unsaved.append(latents)
            if rows.stop < total and task.context.pace.due():
                _save(task, epoch, torch.cat(unsaved))
                unsaved.clear()
            task.context.report(epoch, {"clips": float(rows.stop)})
        else:
            unsaved.clear()  # what a checkpoint holds is consecutive
        yield Batch(rows.start, latents, fed.latents)


def _generator(task: StageTask, source: InputBlocks, *, prompts: Prompts, device: torch.device) -> VideoGenerator:
    config = task.config.generator
    refuse_lacking(device, bf16=config.precision == "bf16", field="generator.precision")
    diffusion = load_generator(task.config.backbones.stable_diffusion, precision=config.precision, device=device)
    frames, channels, side, _ = source.video
    width = source.block(slice(0, 1)).conditions.shape[-1]
    diffusion.check(condition=width, channels=channels, side=side)
    return VideoGenerator(diffusion.unet, diffusion.schedule, config, prompts=prompts, frames=frames)


def _batches(source: InputBlocks, size: int) -> Iterator[tuple[slice, Fed]]:
    """Yield the inputs of `size` videos at a time.

    They are read in larger blocks. These are whole multiples of `BATCH`, so that motion is rolled out in the same
    batches, however many videos there are.
    """
    total, block = len(source), lcm(size, BATCH)
    for begin in range(0, total, block):
        fed = source.block(slice(begin, min(begin + block, total)))
        for first in range(0, len(fed.seeds), size):
            part = slice(first, first + size)
            several = Fed(fed.conditions[part], fed.latents[part], fed.seeds[part])
            yield slice(begin + first, begin + first + len(several.seeds)), several


@dataclass(frozen=True)
class FrameDecoder:
    """Makes frames of latents by the VAE alone."""

    vae: Vae
    at_once: int
    """Frames that are decoded at a time."""
    config: GeneratorConfig
    """How values become 8 bits."""

    def __call__(self, latents: Tensor) -> NDArray[np.uint8]:
        """Return the frames, uint8 [F,H,W,3], of latents [F,c,h,w]."""
        device = next(self.vae.model.parameters()).device
        images = self.vae.decode(latents.to(device), at_once=self.at_once).movedim(1, -1)
        values = (images + 1.0) * 127.5
        whole = values.floor() if self.config.rounding == "down" else values.round()
        frames: NDArray[np.uint8] = whole.to(torch.uint8).cpu().numpy()
        return as_gif(frames) if self.config.saved_as == "gif" else frames


def load_frame_decoder(task: StageTask, *, latent: Sequence[int], device: torch.device) -> FrameDecoder:
    """Load the VAE of the trial's Stable Diffusion, for latents of this height and width. Warn if memory is short."""
    vae = load_vae(task.config.backbones.stable_diffusion, device=device)
    decoding = vae.decoding(latent)
    if decoding.warning is not None:
        task.context.telemetry.warn(decoding.warning)
    return FrameDecoder(vae, decoding.rows, task.config.generator)


class VideoTensors:
    """A file of videos, uint8, that latents are decoded into clip by clip."""

    def __init__(
        self, path: Path, decoder: FrameDecoder, shapes: Mapping[str, Sequence[int]], *, index: Tensor
    ) -> None:
        """Begin the file.

        Args:
            path: The file, which also gets `index`.
            decoder: Makes frames of latents.
            shapes: Name to the shape of the latents, [n,F,c,h,w] or [F,c,h,w]; videos are [n,F,H,W,3] or [F,H,W,3].
            index: The number of each clip in the data set, [n].
        """
        sizes = {name: (*shape[:-3], *decoder.vae.image_size(shape[-2:]), 3) for name, shape in shapes.items()}
        tensors = {name: TensorShape("uint8", size) for name, size in sizes.items()}
        self._decoder = decoder
        self._file = TensorWriter(path, {**tensors, "index": TensorShape("int64", index.shape)})
        self._file.write_whole("index", index.numpy())

    def write(self, name: str, first: int, latents: Tensor) -> None:
        """Decode latents [n,F,c,h,w] into the videos from number `first` on."""
        for row, clip in enumerate(latents, start=first):
            self._file.write(name, row, self._decoder(clip)[None])

    def write_single(self, name: str, latents: Tensor) -> None:
        """Decode latents [F,c,h,w] into a single video."""
        self._file.write_whole(name, self._decoder(latents))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)


def _check(latents: Tensor, *, first: int, precision: str) -> None:
    finite = latents.flatten(1).isfinite().all(dim=1)
    if not finite.all():
        clip = first + int((~finite).int().argmax())
        raise NotFiniteError(
            f"video {clip + 1} has NaN or infinity with generator.precision {precision}; "
            + ("bf16 and fp32 have a larger range" if precision == "fp16" else "check that its features are finite")
        )


class _Kept:
    """The latents of the batches that checkpoints hold. A checkpoint ends with the clips of its epoch."""

    def __init__(self, task: StageTask, total: int, video: Sequence[int]) -> None:
        """Use the checkpoints with latents of the shape `video`."""
        step = task.config.generator.batch_clips
        self._parts: list[tuple[int, int, Path]] = []
        for epoch, folder in task.context.checkpoints.stored():
            path, end = folder / "latents.safetensors", min(epoch * step, total)
            with safe_open(path, framework="pt") as file:
                count, *shape = file.get_slice("latents").get_shape()
            if shape == list(video):
                self._parts.append((end - count, end, path))

    def latents(self, rows: slice) -> Tensor | None:
        """Return the latents of the clips `rows`, or None."""
        for start, end, path in self._parts:
            if start <= rows.start and rows.stop <= end:
                with safe_open(path, framework="pt") as file:
                    return torch.as_tensor(file.get_slice("latents")[rows.start - start : rows.stop - start])
        return None


class _Clock:
    """Logs how long the rest takes."""

    def __init__(self, total: int) -> None:
        self._total, self._made, self._started = total, 0, time.monotonic()

    def log(self, rows: slice) -> None:
        """Log that the clips `rows` have just been made."""
        self._made += rows.stop - rows.start
        left = (time.monotonic() - self._started) / self._made * (self._total - rows.stop)
        logger.info("%d of %d clips, %.0f s left", rows.stop, self._total, left)


def _save(task: StageTask, epoch: int, latents: Tensor) -> None:
    """Save the latents since the last checkpoint beside it. They are much smaller than decoded frames."""
    with task.context.checkpoint(epoch, keep_older=True) as folder:
        save_file({"latents": latents.contiguous()}, folder / "latents.safetensors")
