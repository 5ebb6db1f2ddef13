"""The see stage of `kupershmidt_like`: a network that predicts fMRI from video."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.layers import load_layers
from trainables.config.kupershmidt import SeeConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, kept_epoch, pick_device, train
from trainables.networks.clip_encoder import ClipEncoder
from trainables.randomness import Streams
from trainables.stages.decoding import untrained
from trainables.stages.pixel_metrics import training_facts
from trainables.stages.pixel_rows import PixelRows, read_pixel_rows

_STAGE = "see"
_CALIBRATED = 32
"""Training clips on which the scales of maps are computed."""
_PREDICTED = 32
"""Clips whose fMRI is predicted at a time."""


class SeeLearner:
    """Trains a `ClipEncoder` by the squared error and the cosine of predicted and measured fMRI."""

    def __init__(
        self, config: SeeConfig, network: ConvolutionalNetwork, rows: Mapping[str, PixelRows], job: Job
    ) -> None:
        self.config, self.train, self.watched = config, rows["train"], rows["validation"]
        frames, voxels = self.train.frames, self.train.fmri.shape[1]
        self.model = untrained(job, lambda: ClipEncoder(config, network, frames=frames, voxels=voxels))
        self.model.to(job.device)
        first = torch.arange(min(_CALIBRATED, len(self.train)))
        self.model.calibrate(self.train.frames_of(first))

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    def begin_epoch(self, streams: Streams) -> None:
        """Draw nothing."""

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows."""
        return answer_loss(forward(self.train.frames_of(rows)), self.train.fmri[rows], cosine=self.config.cosine)

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return answer_metrics(predicted_answers(self.model, self.watched), self.watched.fmri)

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore nothing."""


def answer_loss(predicted: Tensor, measured: Tensor, *, cosine: float) -> Tensor:
    """Return the mean squared error of fMRI [B,V], and `cosine` times 1 - cosine over voxels."""
    alike = F.cosine_similarity(predicted, measured, dim=1)
    return F.mse_loss(predicted, measured) + cosine * (1.0 - alike).mean()


@torch.no_grad()
def predicted_answers(model: ClipEncoder, rows: PixelRows) -> Tensor:
    """Return the predicted fMRI of all `rows`, [rows,V]."""
    parts = torch.split(torch.arange(len(rows)), _PREDICTED)
    return torch.cat([model(rows.frames_of(part)) for part in parts])


def correlations(predicted: Tensor, measured: Tensor) -> Tensor:
    """Return the correlation of each voxel over rows [n,V], [V]; 0 where one of the two does not vary."""
    first, second = (values.double() - values.double().mean(dim=0) for values in (predicted, measured))
    scale = (first.square().sum(dim=0) * second.square().sum(dim=0)).sqrt()
    return torch.where(scale > 0, (first * second).sum(dim=0) / scale.clamp_min(1e-12), 0.0)


def answer_metrics(predicted: Tensor, measured: Tensor) -> dict[str, float]:
    """Return the mean correlation over voxels, and the mean squared error."""
    return {
        "r_mean": correlations(predicted, measured).mean().item(),
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
    answers = {split: predicted_answers(learner.model, rows[split]) for split in ("validation", "test")}
    metrics: dict[str, float] = {}
    for split, prefix in (("validation", ""), ("test", "test_")):
        found = answer_metrics(answers[split], rows[split].fmri)
        metrics |= {f"{prefix}{name}": value for name, value in found.items()}
        metrics[f"{prefix}mse_mean"] = (rows[split].fmri - rows["train"].fmri.mean(dim=0)).square().mean().item()
    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    written = {
        "answers": torch.cat(list(answers.values())),
        "index": torch.cat([torch.from_numpy(rows[split].index) for split in answers]),
        "r": torch.stack([correlations(answers[split], rows[split].fmri) for split in answers]).float(),
    }
    save_file(
        {name: t.cpu().contiguous() for name, t in written.items()}, task.context.output / "predictions.safetensors"
    )
    kept = progress.history[kept_epoch(progress, config.train) - 1]
    facts = training_facts(task, progress, learner.model, device=device)
    return StageResult({"loss": kept["loss"], **metrics}, tuple(progress.history), facts)
