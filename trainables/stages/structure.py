"""The structure stage: decodes the latent of the first frame from fMRI."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from trainables.config.decoders import StructureConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, pick_device
from trainables.losses import latent_mse
from trainables.networks.structure import StructureDecoder
from trainables.randomness import Streams
from trainables.stages.decoding import (
    DecoderLearner,
    NetworkFactory,
    SplitRows,
    finish,
    has_imported_weights,
    held_out,
    make_job,
    predict,
    read_rows,
    train_unless_solved,
    untrained,
)
from trainables.stages.solved import RIDGE, solved_structure


class StructureLearner(DecoderLearner):
    """Trains a `StructureDecoder`, or a network with the same output, by eq. 6."""

    def __init__(
        self,
        config: StructureConfig,
        rows: Mapping[str, SplitRows],
        job: Job,
        *,
        network_of: NetworkFactory | None = None,
    ) -> None:
        """Build the network with `network_of`; by default a `StructureDecoder`."""
        build = partial(_network, config) if network_of is None else network_of
        super().__init__(untrained(job, lambda: build(rows["train"])), rows, config.sparsify, job)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return eq. 6 on training rows."""
        return latent_mse(forward(self.fmri(rows, streams)), _first(self.train)[self.clips(rows)])

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return self.metrics(self.watched)

    @torch.no_grad()
    def metrics(self, rows: SplitRows) -> dict[str, float]:
        """Return the latent error of `rows`."""
        return {"latent_mse": latent_mse(self.model(rows.fmri), _first(rows)).item()}

    def controls(self, rows: SplitRows) -> dict[str, float]:
        """Return the error of predicting the mean training latent."""
        mean = _first(self.train).mean(0)
        return {"latent_mse_mean": (_first(rows) - mean).square().mean().item()}


def _network(config: StructureConfig, rows: SplitRows) -> StructureDecoder:
    return StructureDecoder(
        rows.fmri.shape[1],
        _first(rows).shape[1:],
        hidden=config.hidden,
        residual_layers=config.residual_layers,
        dropout=config.dropout,
    )


def _first(rows: SplitRows) -> Tensor:
    return rows.features["latents"][:, 0]


def run(task: StageTask) -> StageResult:
    """Train the structure decoder and write its predictions for the held-out clips.

    Writes `model.safetensors` and `predictions.safetensors` (`first_latent` [n,c,h,w], `index` [n]).

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    return train_structure_network(task)


def train_structure_network(
    task: StageTask, network_of: NetworkFactory | None = None, *, solved: bool = False
) -> StageResult:
    """Train the network that `network_of` returns as the section `structure.train` says, and write what `run` writes.

    With `solved`, it has its final weights already: nothing is trained.
    """
    config = task.config.structure
    rows = read_rows(task, ("latents",), device=pick_device(config.train.device), trained_on=config.train.rows)
    if config.kind == RIDGE:
        network_of, solved = (lambda _: solved_structure(config, rows)), True
    job = make_job(task, "structure", config.train, monitor="latent_mse", width=config.hidden, solved=solved)
    learner = StructureLearner(config, rows, job, network_of=network_of)
    solved = solved or has_imported_weights(task, "structure", learner.model)
    progress = train_unless_solved(learner, job, device=rows["train"].fmri.device, solved=solved)
    metrics = held_out(lambda held: {**learner.metrics(held), **learner.controls(held)}, rows)
    latents, index = predict(learner.model, rows)
    return finish(task, learner, progress, metrics, {"first_latent": latents, "index": index})
