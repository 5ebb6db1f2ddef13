"""The unsee stage of `kupershmidt_like`: a network that decodes video from fMRI, trained on videos without fMRI, too.

The fMRI of test clips is never trained on, with or without its video.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.layers import load_layers
from trainables.config.kupershmidt import FRESH, UnseeConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.external_clips import read_external, refuse_held_out
from trainables.datasets.stored_clips import read_stimuli
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.networks.clip_encoder import ClipEncoder
from trainables.networks.frame_decoder import FrameShape, FrozenCycle, TrainedCycle
from trainables.randomness import Streams
from trainables.stages.decoding import HELD_OUT, untrained
from trainables.stages.pixel_metrics import TrainedPart, mean_error, pixel_result
from trainables.stages.pixel_rows import PixelRows, as_clips, read_pixel_rows
from trainables.stages.see import answer_loss, predicted_answers

_STAGE = "unsee"
_DECODED = 64
"""Clips that are decoded at a time."""


class Noise:
    """Draws noise with the covariance of some errors, shrunk towards equal and independent ones.

    Source: Ledoit and Wolf 2004. A draw is a random sum of the errors, so no covariance matrix is needed.
    """

    def __init__(self, errors: Tensor) -> None:
        """`errors`: [n,V], n at least 2."""
        centred = (errors - errors.mean(dim=0)).double()
        self._shrinkage = float(ledoit_wolf_shrinkage(centred.cpu().numpy(), assume_centered=True))
        self._spread = centred.square().mean().sqrt()
        self._errors = centred

    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return noise [rows,V]."""
        count, voxels = self._errors.shape
        mixed = torch.randn(rows, count, generator=generator, dtype=torch.float64).to(self._errors.device)
        own = torch.randn(rows, voxels, generator=generator, dtype=torch.float64).to(self._errors.device)
        shared = (1.0 - self._shrinkage) ** 0.5 * count**-0.5 * (mixed @ self._errors)
        noise: Tensor = shared + self._shrinkage**0.5 * self._spread * own
        return noise.float()


@dataclass(frozen=True)
class Unpaired:
    """Clips without fMRI, and what the network of `see` predicts for them."""

    rows: PixelRows
    """`fmri` is the prediction."""
    noise: Noise | None

    def draw(self, count: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """Return the numbers of `count` clips, and the noise [count,V] of their predicted fMRI."""
        chosen = torch.randint(len(self.rows), (count,), generator=streams["unpaired"]).to(self.rows.fmri.device)
        if self.noise is None:
            return chosen, self.rows.fmri.new_zeros(count, self.rows.fmri.shape[1])
        return chosen, self.noise.draw(count, streams["noise"])


class UnseeLearner(WithoutState):
    """Trains a `FrameDecoder` on pairs, and on unpaired clips through a frozen encoder."""

    def __init__(
        self, config: UnseeConfig, cycle: FrozenCycle, rows: Mapping[str, PixelRows], unpaired: Unpaired | None
    ) -> None:
        self.config, self.train, self.watched, self.unpaired = config, rows["train"], rows["validation"], unpaired
        self.model: FrozenCycle | TrainedCycle = cycle

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows, and on as many unpaired clips."""
        fmri, truth = self.train.fmri[rows], self.train.frames_of(rows)
        if self.unpaired is None:
            own: Tensor = forward(fmri, truth).mean()
            return own
        chosen, noise = self.unpaired.draw(len(rows), streams)
        predicted, external = self.unpaired.rows.fmri[chosen] + noise, self.unpaired.rows.frames_of(chosen)
        losses = forward(torch.cat((fmri, predicted)), torch.cat((truth, external)))
        paired, unpaired = losses.split(len(rows))
        return self.weighted(paired, unpaired)

    def weighted(self, paired: Tensor, unpaired: Tensor) -> Tensor:
        """Return the mean loss of paired clips [B], and of unpaired ones [B] with their weight."""
        return paired.mean() + self.config.unpaired_weight * unpaired.mean()

    def evaluate(self) -> dict[str, float]:
        """Return the pixel error of the validation clips."""
        return {"l1": mean_error(self.decoded(self.watched), self.watched)}

    @torch.no_grad()
    def decoded(self, rows: PixelRows) -> NDArray[np.uint8]:
        """Return the videos that are decoded from the fMRI of `rows`, uint8 [rows,F,H,W,3]."""
        return np.concatenate([as_clips(self.model.decoder(fmri)) for fmri in torch.split(rows.fmri, _DECODED)])


class FineTunedLearner(UnseeLearner):
    """The same, and trains the encoder on: by its own loss on pairs, and by that of unpaired clips."""

    def __init__(
        self,
        config: UnseeConfig,
        cycle: FrozenCycle,
        rows: Mapping[str, PixelRows],
        unpaired: Unpaired,
        encoder: ClipEncoder,
    ) -> None:
        super().__init__(config, cycle, rows, unpaired)
        self.others, self.cosine = unpaired, encoder.config.cosine
        self.model = TrainedCycle(cycle, encoder.requires_grad_(True))

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss of both networks on training rows, and on as many unpaired clips."""
        fmri, truth = self.train.fmri[rows], self.train.frames_of(rows)
        chosen, noise = self.others.draw(len(rows), streams)
        paired, unpaired, predicted = forward(fmri, truth, self.others.rows.frames_of(chosen), noise)
        return self.weighted(paired, unpaired) + answer_loss(predicted, fmri, cosine=self.cosine)


def run(task: StageTask) -> StageResult:
    """Train the network and decode all held-out clips.

    Writes `videos.safetensors` (`videos` uint8 [n,F,H,W,3], `index` [n]) and `model.safetensors`, the decoder.

    Raises:
        ValueError: A split has no clips, weights cannot be loaded, the unpaired clips cannot be read, or one of them is
            a held-out clip.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config, device = task.config.unsee, pick_device(task.config.unsee.train.device)
    rows = read_pixel_rows(task, side=task.config.see.resolution, device=device, trained_on=config.train.rows)
    network = load_layers(task.config.layers.source, device=device)
    job = Job(_STAGE, task.seed, config.train, width=config.channels, monitor="l1", goal="min", context=task.context)
    learner = _learner(task, network, rows, job)
    progress = train(learner, job)
    learner.model.to(device).eval()
    videos = {split: learner.decoded(rows[split]) for split in HELD_OUT}
    result = pixel_result(task, TrainedPart(learner.model.decoder, config.train), progress, videos, rows)
    count = 0 if learner.unpaired is None else len(learner.unpaired.rows)
    return replace(result, info={**result.info, "unpaired_clips": str(count)})


def _learner(task: StageTask, network: ConvolutionalNetwork, rows: Mapping[str, PixelRows], job: Job) -> UnseeLearner:
    config, train = task.config.unsee, rows["train"]
    shape, voxels = FrameShape(*train.clips.shape[1:3]), train.fmri.shape[1]
    cycle = untrained(job, lambda: FrozenCycle(config, network, shape=shape, voxels=voxels))
    if config.unpaired == 0:
        return UnseeLearner(config, cycle, rows, None)
    encoder = _encoder(task, network, train, job)
    unpaired = _unpaired(task, encoder, rows)
    if config.encoder == "frozen":
        return UnseeLearner(config, cycle, rows, unpaired)
    return FineTunedLearner(config, cycle, rows, unpaired, encoder)


def _encoder(task: StageTask, network: ConvolutionalNetwork, train: PixelRows, job: Job) -> ClipEncoder:
    """Return the network of `see`, with its weights."""
    encoder = ClipEncoder(task.config.see, network, frames=train.frames, voxels=train.fmri.shape[1])
    encoder.load_state_dict(load_file(task.inputs["see"].path("model.safetensors")))
    return encoder.to(job.device).eval().requires_grad_(False)


def _unpaired(task: StageTask, encoder: ClipEncoder, rows: Mapping[str, PixelRows]) -> Unpaired:
    """Return the unpaired clips with their predicted fMRI."""
    config, train = task.config.unsee, rows["train"]
    count = max(1, round(config.unpaired * len(train)))
    frames, side = train.clips.shape[1:3]
    clips = read_external(config, task.config.dataset, count=count, frames=frames, side=side)
    source = read_stimuli(task.inputs, task.config.dataset).source
    held_out = [rows[split] for split in HELD_OUT]
    names = [source[number] for split in held_out for number in split.index]
    refuse_held_out(
        clips, np.concatenate([split.clips for split in held_out]), names=names, fresh=config.external == FRESH
    )
    device = train.fmri.device
    unknown = PixelRows(np.full(len(clips), -1), torch.zeros(len(clips), train.fmri.shape[1], device=device), clips)
    answers = predicted_answers(encoder, unknown)
    noise = None
    if config.noise == "residual":
        noise = Noise(rows["validation"].fmri - predicted_answers(encoder, rows["validation"]))
    return Unpaired(PixelRows(unknown.index, answers, clips), noise)
