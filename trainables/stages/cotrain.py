"""The cotrain stage: trains the diffusion model on training clips, under tokens that are decoded from their fMRI."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.backbones.load import load_generator
from trainables.config.decoders import TrainConfig
from trainables.config.mindvideo import CotrainConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, LoopState, WithoutState, pick_device, train
from trainables.metrics.metric import split_prefix
from trainables.networks.cotrained import CotrainedNetwork, video_unet
from trainables.networks.fmri_tokens import TokensNetwork
from trainables.networks.generator import mixed_noise
from trainables.randomness import Streams
from trainables.stages.decoding import HELD_OUT, SplitRows, in_batches, read_rows, trained_result, untrained
from trainables.stages.tokens import TARGETS, tokens_network
from trainables.stages.volumes import with_windows

DELTA, CONDITIONS = "delta.safetensors", "conditions.safetensors"
_AT_ONCE = 64
"""Clips whose tokens are decoded at a time."""
_MEASURED = 2
"""Clips whose noise is predicted at a time, when the error is measured."""


@dataclass(frozen=True)
class Corrupted:
    """Latents with noise, and what a diffusion model is to find in them."""

    noisy: Tensor
    """[n,F,c,h,w]"""
    noise: Tensor
    times: Tensor
    """[n]"""


class CotrainLearner(WithoutState):
    """Trains a `CotrainedNetwork` by the error of the predicted noise."""

    def __init__(
        self, config: CotrainConfig, rows: Mapping[str, SplitRows], job: Job, network: CotrainedNetwork, schedule: Any
    ) -> None:
        """Train `network` on `rows` with windows; `schedule` is the diffusion model's noise schedule."""
        self.model, self.config, self.schedule = network, config, schedule
        self.training: TrainConfig = config.train
        self.clips = rows
        self.chosen = torch.arange(self.rows)
        """The training rows of the epoch."""
        self._fixed = job.streams(0)

    @property
    def rows(self) -> int:
        """The number of training rows of an epoch."""
        return min(self.config.epoch_clips, len(self.clips["train"]))

    def begin_epoch(self, streams: Streams) -> None:
        """Draw the training clips of the epoch."""
        self.chosen = torch.randperm(len(self.clips["train"]), generator=streams["clips"])[: self.rows]

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the error of the noise that is predicted in training clips, at random times."""
        train = self.clips["train"]
        chosen = self.chosen.to(rows.device)[rows]
        drawn = self._corrupted(train.features["latents"][chosen], streams["noise"])
        return F.mse_loss(forward(drawn.noisy, drawn.times, train.fmri[chosen]).float(), drawn.noise)

    def evaluate(self) -> dict[str, float]:
        """Return the error on validation clips."""
        return {"noise_mse": self.noise_mse("validation")}

    @torch.no_grad()
    def noise_mse(self, split: str) -> float:
        """Return the error of the predicted noise on the first clips of `split`. Noise and times are always the same.

        Times are spread evenly over all times of the diffusion.
        """
        clips = self.clips[split]
        count = min(self.config.validation_clips, len(clips))
        drawn = self._corrupted(clips.features["latents"][:count], self._fixed.lasting(f"noise_{split}"), spread=True)
        predicted = in_batches(self.model, drawn.noisy, drawn.times, clips.fmri[:count], size=_MEASURED)
        return F.mse_loss(predicted.float(), drawn.noise).item()

    def _corrupted(self, latents: Tensor, generator: torch.Generator, *, spread: bool = False) -> Corrupted:
        """Return `latents` [n,F,c,h,w] with noise at times that are drawn, or spread evenly, each with its clip."""
        count, all_times = len(latents), self.schedule.config.num_train_timesteps
        shared = torch.randn(count, 1, *latents.shape[2:], generator=generator)
        own = torch.randn(latents.shape, generator=generator)
        noise = mixed_noise(shared, own, share=self.config.noise_share).to(latents)
        times = torch.randint(all_times, (count,), generator=generator)
        if spread:
            times = ((torch.arange(count) + 0.5) * all_times / count).long()
        times = times.to(latents.device)
        return Corrupted(self.schedule.add_noise(latents, noise, times), noise, times)


def run(task: StageTask) -> StageResult:
    """Train the diffusion model, and write what that changed and the conditions of the held-out clips.

    Writes `delta.safetensors` (names of the UNet's weights to what was added to them, and the weights of added layers)
    and `conditions.safetensors`: `condition` [n,L,C] of the held-out clips `index` [n]; `mean_train` and `mean_test`
    [L,C], the tokens of the mean fMRI of these clips.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or a split has no clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config = task.config.cotrain
    device = pick_device(config.train.device)
    names = (*TARGETS, "latents")
    rows = {name: with_windows(task, split) for name, split in read_rows(task, names, device=device).items()}
    job = Job("cotrain", task.seed, config.train, width=1, monitor="noise_mse", goal="min", context=task.context)
    learner = _learner(task, rows, job, device=device)
    before = {split: learner.noise_mse(split) for split in HELD_OUT}
    progress = _trained(learner, job)
    learner.model.to(device).eval()
    metrics = {
        f"{split_prefix(split)}{name}": value
        for split in HELD_OUT
        for name, value in (("noise_mse", learner.noise_mse(split)), ("noise_mse_before", before[split]))
    }
    save_file({name: value.cpu() for name, value in learner.model.delta().items()}, task.context.output / DELTA)
    save_file(_conditions(learner.model.tokens, rows), task.context.output / CONDITIONS)
    return trained_result(task, learner, progress, metrics, device=device)


def _learner(task: StageTask, rows: Mapping[str, SplitRows], job: Job, *, device: torch.device) -> CotrainLearner:
    config, latents = task.config.cotrain, rows["train"].features["latents"]
    tokens = tokens_network(task, rows["train"])
    tokens.load_state_dict(load_file(task.inputs["tokens"].path("model.safetensors")))
    diffusion = load_generator(task.config.backbones.stable_diffusion, device=device)
    diffusion.check(
        condition=rows["train"].features["condition"].shape[-1], channels=latents.shape[2], side=latents.shape[-1]
    )
    frames = latents.shape[1]

    def build() -> CotrainedNetwork:
        unet = video_unet(diffusion.unet, task.config.generator, config, frames=frames)
        return CotrainedNetwork(unet, tokens, config)

    network = untrained(job, build).to(device).eval()
    return CotrainLearner(config, rows, job, network, diffusion.schedule)


def _trained(learner: CotrainLearner, job: Job) -> LoopState | None:
    """Train, unless nothing is to be trained."""
    return None if learner.config.parts == "none" else train(learner, job)


@torch.no_grad()
def _conditions(network: TokensNetwork, rows: Mapping[str, SplitRows]) -> dict[str, Tensor]:
    """Return the tokens of the held-out clips, and of the mean fMRI of training and of test clips."""
    fmri = torch.cat([rows[name].fmri for name in HELD_OUT])
    condition = in_batches(lambda part: network(part)[1], fmri, size=_AT_ONCE)
    means = {f"mean_{name}": network(rows[name].fmri.mean(dim=0, keepdim=True))[1][0] for name in ("train", "test")}
    index = torch.cat([rows[name].index for name in HELD_OUT])
    return {name: value.cpu().contiguous() for name, value in {"condition": condition, "index": index, **means}.items()}
