"""The gan stage of `fcvgan_like`: a generator from fMRI to video, trained against discriminators of frames and videos.

Two optimisers take turns at every batch: first the discriminators', then the generator's.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.config.gan import GanConfig
from trainables.context import StageResult, StageTask
from trainables.descent import Opponent
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.networks.gan import Gan, VideoShape
from trainables.networks.spectral import iterate
from trainables.randomness import Streams
from trainables.stages.decoding import HELD_OUT, untrained
from trainables.stages.pixel_metrics import TrainedPart, mean_error, pixel_result
from trainables.stages.pixel_rows import PixelRows, as_clips, read_pixel_rows

_STAGE = "gan"
DISCRIMINATORS = "discriminators"
_DECODED = 64
"""Clips that are decoded at a time."""


class GanLearner(WithoutState):
    """Trains a `Gan`: the generator by pixel error and the discriminators' scores, the discriminators against it."""

    def __init__(self, config: GanConfig, rows: Mapping[str, PixelRows], job: Job) -> None:
        self.config, self.train, self.watched = config, rows["train"], rows["validation"]
        shape = VideoShape(self.train.frames, config.resolution)
        voxels = self.train.fmri.shape[1]
        self.model = untrained(job, lambda: Gan(config, voxels=voxels, shape=shape))
        self.weights = torch.tensor([getattr(config, name) for name in self.model.discriminators], device=job.device)

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    def opponents(self) -> tuple[Opponent, ...]:
        """Return the discriminators, which share an optimiser; none if both weights are 0."""
        if not len(self.weights):
            return ()
        config = self.config.train.model_copy(update={"lr": self.config.discriminator_lr})
        networks = self.model.discriminators
        return (Opponent(DISCRIMINATORS, networks, self.model.judge, self.discriminator_loss, config),)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the generator's loss on training rows: pixel error and softplus of the negative scores."""
        noise, frame = self._draw(rows, streams)
        generated, scores = forward(self.train.fmri[rows], noise, frame)
        error = (generated - self._true(rows)).abs().mean()
        fooled = (self.weights * F.softplus(-scores)).sum(dim=1).mean()
        loss: Tensor = self.config.l1 * error + fooled
        return loss

    def discriminator_loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the discriminators' loss on training rows: softplus of wrong scores, of true and generated videos."""
        iterate(self.model.discriminators)
        noise, frame = self._draw(rows, streams)
        real, generated = forward(self._true(rows), self.train.fmri[rows], noise, frame).unbind(dim=1)
        return (F.softplus(-real) + F.softplus(generated)).sum(dim=1).mean()

    def _true(self, rows: Tensor) -> Tensor:
        """Return training videos [B,3,F,H,W] between -1 and 1."""
        return self.train.frames_of(rows).transpose(1, 2) * 2.0 - 1.0

    def _draw(self, rows: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        noise = torch.randn((len(rows), self.config.noise), generator=streams["noise"])
        frame = torch.randint(self.train.frames, (len(rows),), generator=streams["frame"])
        return noise.to(rows.device), frame.to(rows.device)

    def evaluate(self) -> dict[str, float]:
        """Return the pixel error of the validation clips."""
        return {"l1": mean_error(self.decoded(self.watched), self.watched)}

    @torch.no_grad()
    def decoded(self, rows: PixelRows) -> NDArray[np.uint8]:
        """Return the videos that are decoded from the fMRI of `rows`, uint8 [rows,F,H,W,3]. The noise is 0."""
        parts = []
        for fmri in torch.split(rows.fmri, _DECODED):
            video = self.model.generator(fmri, fmri.new_zeros(len(fmri), self.config.noise))
            parts.append(as_clips((video.transpose(1, 2) + 1.0) / 2.0))
        return np.concatenate(parts)


def run(task: StageTask) -> StageResult:
    """Train the networks and decode all held-out clips.

    Writes `videos.safetensors` (`videos` uint8 [n,F,H,W,3], `index` [n]) and `model.safetensors`, the generator.

    Raises:
        ValueError: A split has no clips, or the clips' number of frames is no multiple of 8.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config, device = task.config.gan, pick_device(task.config.gan.train.device)
    rows = read_pixel_rows(task, side=config.resolution, device=device, trained_on=config.train.rows)
    job = Job(_STAGE, task.seed, config.train, width=config.embedding, monitor="l1", goal="min", context=task.context)
    learner = GanLearner(config, rows, job)
    progress = train(learner, job, learner.opponents())
    learner.model.to(device).eval()
    videos = {split: learner.decoded(rows[split]) for split in HELD_OUT}
    result = pixel_result(task, TrainedPart(learner.model.generator, config.train), progress, videos, rows)
    discriminators = sum(p.numel() for p in learner.model.discriminators.parameters())
    return replace(result, info={**result.info, "discriminator_parameters": str(discriminators)})
