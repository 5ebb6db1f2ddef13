"""The premask stage: pre-trains an fMRI encoder on volumes without clips, by decoding hidden patches of voxels."""

import json
from collections.abc import Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainables.config.mindvideo import PremaskConfig, PremaskTrainConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.networks.fmri_encoder import MaskedFmriModel, in_patches, wrapped
from trainables.randomness import Streams
from trainables.stages.decoding import BATCH, HELD_OUT, held_out, trained_result, untrained
from trainables.stages.volumes import read_volumes

MODEL, FACTS = "model.safetensors", "premask.json"


class PremaskLearner(WithoutState):
    """Trains a `MaskedFmriModel` by the squared error of hidden patches."""

    def __init__(self, config: PremaskConfig, volumes: Mapping[str, Tensor], job: Job) -> None:
        """Build the model for `volumes` [T,V] of each split, of which those of `train` are trained on."""
        self.volumes = {name: values.to(job.device) for name, values in volumes.items()}
        voxels = volumes["train"].shape[1]
        self.model = untrained(job, lambda: MaskedFmriModel(config, voxels=voxels))
        self.training: PremaskTrainConfig = config.train
        self._fixed = job.streams(0)

    @property
    def rows(self) -> int:
        """The number of training volumes."""
        return len(self.volumes["train"])

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the error of the hidden patches of training volumes."""
        fmri = self.volumes["train"][rows]
        order = self._order(len(rows), streams["mask"])
        return self.model.hidden_error(forward(fmri, order), fmri, order).mean()

    def evaluate(self) -> dict[str, float]:
        """Return the error on validation volumes."""
        return {"masked_mse": self.metrics("validation")["masked_mse"]}

    @torch.no_grad()
    def metrics(self, split: str) -> dict[str, float]:
        """Return the error of hidden patches, and that of predicting each voxel's mean over training volumes.

        What is hidden of each volume is the same at each call.
        """
        sizes, fmri = self.model.encoder.sizes, self.volumes[split]
        order = self._order(len(fmri), self._fixed.lasting(f"mask_{split}"))
        mean = in_patches(self.volumes["train"].mean(0), sizes)
        decoded, from_mean = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for some, hidden in zip(torch.split(fmri, BATCH), torch.split(order, BATCH), strict=True):
            decoded += self.model.hidden_error(self.model(some, hidden), some, hidden).mean((1, 2)).sum().cpu()
            from_mean += self.model.hidden_error(mean.expand(len(some), -1, -1), some, hidden).mean((1, 2)).sum().cpu()
        return {"masked_mse": decoded.item() / len(fmri), "masked_mse_mean": from_mean.item() / len(fmri)}

    def _order(self, count: int, generator: torch.Generator) -> Tensor:
        patches = self.model.encoder.sizes.patches
        return torch.rand(count, patches, generator=generator).argsort(dim=1).to(next(self.model.parameters()).device)


def run(task: StageTask) -> StageResult:
    """Train the masked fMRI model on volumes of training clips.

    Writes `model.safetensors` (the encoder's names begin with `encoder.`) and `premask.json` with the number of voxels
    that the encoder takes and of the volumes of each split.

    Raises:
        ValueError: A split has no volume.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config = task.config.premask
    volumes = _volumes(task, config)
    job = Job(
        "premask", task.seed, config.train, width=config.width, monitor="masked_mse", goal="min", context=task.context
    )
    learner = PremaskLearner(config, volumes, job)
    progress = train(learner, job)
    learner.model.eval()
    save_file(learner.model.state_dict(), task.context.output / MODEL)
    facts = {
        "voxels": learner.model.encoder.sizes.voxels,
        "volumes": {name: len(values) for name, values in volumes.items()},
    }
    (task.context.output / FACTS).write_text(json.dumps(facts))
    metrics = held_out(learner.metrics, {split: split for split in HELD_OUT})
    return trained_result(task, learner, progress, metrics, device=pick_device(config.train.device))


def _volumes(task: StageTask, config: PremaskConfig) -> dict[str, Tensor]:
    """Return the volumes of each split, [T,V]; other subjects' training volumes follow, if they are trained on."""
    own = task.config.voxels.subject
    volumes = read_volumes(task, own, between=config.extra_bold)
    if config.subjects == "own":
        return volumes
    count = len(task.inputs["data"].json("data.json")["subjects"])
    others = [read_volumes(task, number, between=config.extra_bold) for number in range(count) if number != own]
    voxels = max(values["train"].shape[1] for values in (volumes, *others))
    filled = {name: wrapped(values, voxels=voxels) for name, values in volumes.items()}
    return {**filled, "train": torch.cat([filled["train"], *(wrapped(o["train"], voxels=voxels) for o in others)])}
