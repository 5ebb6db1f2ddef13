"""The see stage of `kupershmidt_like`: a network that predicts fMRI from video."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.layers import load_layers
from trainables.config.decoders import TrainConfig
from trainables.config.kupershmidt import SeeConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.metrics.correlation import column_correlation
from trainables.metrics.metric import split_prefix
from trainables.networks.clip_encoder import ClipEncoder
from trainables.randomness import Streams
from trainables.stages.decoding import HELD_OUT, trained_result, untrained
from trainables.stages.pixel_rows import PixelRows, read_pixel_rows

_STAGE = "see"
_CALIBRATED = 32
"""Training clips on which the scales of maps are computed."""
_PREDICTED = 32
"""Clips whose fMRI is predicted at a time."""


class SeeLearner(WithoutState):
    """Trains a `ClipEncoder` by the squared error and the cosine of predicted and measured fMRI."""

    def __init__(
        self, config: SeeConfig, network: ConvolutionalNetwork, rows: Mapping[str, PixelRows], job: Job
    ) -> None:
        self.config, self.train, self.watched = config, rows["train"], rows["validation"]
        self.training: TrainConfig = config.train
        frames, voxels = self.train.frames, self.train.fmri.shape[1]
        self.model = untrained(job, lambda: ClipEncoder(config, network, frames=frames, voxels=voxels))
        self.model.to(job.device)
        first = torch.arange(min(_CALIBRATED, len(self.train)))
        self.model.calibrate(self.train.frames_of(first))

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows."""
        return answer_loss(forward(self.train.frames_of(rows)), self.train.fmri[rows], cosine=self.config.cosine)

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return answer_metrics(predicted_answers(self.model, self.watched), self.watched.fmri)


def answer_loss(predicted: Tensor, measured: Tensor, *, cosine: float) -> Tensor:
    """Return the mean squared error of fMRI [B,V], and `cosine` times 1 - cosine over voxels."""
    alike = F.cosine_similarity(predicted, measured, dim=1)
    return F.mse_loss(predicted, measured) + cosine * (1.0 - alike).mean()


@torch.no_grad()
def predicted_answers(model: ClipEncoder, rows: PixelRows) -> Tensor:
    """Return the predicted fMRI of all `rows`, [rows,V]."""
    parts = torch.split(torch.arange(len(rows)), _PREDICTED)
    return torch.cat([model(rows.frames_of(part)) for part in parts])


def answer_metrics(predicted: Tensor, measured: Tensor) -> dict[str, float]:
    """Return the mean correlation over voxels, and the mean squared error."""
    return {
        "r_mean": column_correlation(predicted, measured).mean().item(),
        "mse": F.mse_loss(predicted, measured).item(),
    }


def run(task: StageTask) -> StageResult:
    """Train the network and predict the fMRI of all held-out clips.

    Writes `model.safetensors` and `predictions.safetensors`: `answers` [n,V] of held-out clips, `index` [n], and `r`
    [2,V], the correlation of each voxel on validation and on test clips.

    Raises:
        ValueError: A split has no clips, or the weights of `layers.source` cannot be loaded.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config, device = task.config.see, pick_device(task.config.see.train.device)
    rows = read_pixel_rows(task, side=config.resolution, device=device, trained_on=config.train.rows)
    network = load_layers(task.config.layers.source, device=device)
    job = Job(_STAGE, task.seed, config.train, width=config.planes, monitor="r_mean", goal="max", context=task.context)
    learner = SeeLearner(config, network, rows, job)
    progress = train(learner, job)
    learner.model.to(device).eval()
    answers = {split: predicted_answers(learner.model, rows[split]) for split in HELD_OUT}
    metrics: dict[str, float] = {}
    for split in HELD_OUT:
        prefix, found = split_prefix(split), answer_metrics(answers[split], rows[split].fmri)
        metrics |= {f"{prefix}{name}": value for name, value in found.items()}
        metrics[f"{prefix}mse_mean"] = (rows[split].fmri - rows["train"].fmri.mean(dim=0)).square().mean().item()
    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    written = {
        "answers": torch.cat(list(answers.values())),
        "index": torch.cat([torch.from_numpy(rows[split].index) for split in answers]),
        "r": torch.stack([column_correlation(answers[split], rows[split].fmri) for split in answers]).float(),
    }
    save_file(
        {name: t.cpu().contiguous() for name, t in written.items()}, task.context.output / "predictions.safetensors"
    )
    return trained_result(task, learner, progress, metrics, device=device)
