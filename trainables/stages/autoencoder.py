"""The autoencoder stage of `han_like`: a variational autoencoder that is trained on frames of training clips."""

import json
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.runs import Artifacts
from trainables.config.frame_networks import AutoencoderConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.networks.autoencoder import Autoencoder
from trainables.randomness import Streams
from trainables.stages.decoding import held_out, trained_result, untrained
from trainables.stages.frame_rows import clips_of_splits
from trainables.stages.pixel_metrics import TrainedPart
from trainables.stages.pixel_rows import resized_clips
from trainables.system_videos import read_clips

_STAGE = "autoencoder"
_FACTS = "autoencoder.json"
_AT_ONCE = 256
_CALIBRATED = 256
"""Training frames by whose statistics layers are normalised: the first ones of as many clips."""
Clips = NDArray[np.uint8]


class AutoencoderLearner(WithoutState):
    """Trains an `Autoencoder` on one random frame of each training clip per epoch."""

    def __init__(self, config: AutoencoderConfig, clips: Mapping[str, Clips], job: Job) -> None:
        """`clips`: split to uint8 [n,F,S,S,3]."""
        self.config, self.train, self.watched = config, clips["train"], clips["validation"]
        self.device = job.device
        self.model = untrained(job, lambda: Autoencoder(config))
        self.model.calibrate(as_images(self.train[:_CALIBRATED, 0], torch.device("cpu")))

    @property
    def rows(self) -> int:
        """The number of training clips."""
        return len(self.train)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the squared error of frames that are drawn from the latent, and the weighted divergence."""
        chosen = torch.randint(self.train.shape[1], (len(rows),), generator=streams["frame"])
        noise = torch.randn(len(rows), self.config.latent, generator=streams["latent"])
        frames = as_images(self.train[rows.cpu().numpy(), chosen.numpy()], self.device)
        drawn, divergence = forward(frames, noise.to(self.device))
        error: Tensor = F.mse_loss(drawn, frames) + self.config.kl * divergence.mean()
        return error

    def evaluate(self) -> dict[str, float]:
        """Return the error of the validation clips."""
        return {"mse": squared_error(self.model, self.watched, self.device)}


def as_images(frames: Clips, device: torch.device) -> Tensor:
    """Return frames, uint8 [n,S,S,3], as float [n,3,S,S] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 255.0


@torch.no_grad()
def squared_error(model: Autoencoder, clips: Clips, device: torch.device) -> float:
    """Return the mean squared error of all frames, pixels in [0, 1], of the mean of their latents."""
    frames = clips.reshape(-1, *clips.shape[2:])
    total = 0.0
    for first in range(0, len(frames), _AT_ONCE):
        images = as_images(frames[first : first + _AT_ONCE], device)
        total += float((model.decode(model.encode(images)[0]) - images).double().square().mean(dim=(1, 2, 3)).sum())
    return total / len(frames)


def run(task: StageTask) -> StageResult:
    """Write `model.safetensors`, and `autoencoder.json` with the sizes of the network.

    Metrics: `mse`, the mean squared error of pixels in [0, 1] of frames that return from the mean of their latents, and
    `mse_mean`, that of the mean training frame.

    Raises:
        ValueError: A split has no clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config, device = task.config.autoencoder, pick_device(task.config.autoencoder.train.device)
    index, clips = clips_of_splits(task, trained_on=config.train.rows), read_clips(task)
    shown = {name: resized_clips(clips, members, side=config.resolution) for name, members in index.items()}
    job = Job(_STAGE, task.seed, config.train, width=config.base, monitor="mse", goal="min", context=task.context)
    learner = AutoencoderLearner(config, shown, job)
    progress = train(learner, job)
    learner.model.to(device).eval()
    mean = shown["train"].mean(axis=(0, 1), dtype=np.float64)
    metrics = held_out(
        lambda held: {
            "mse": squared_error(learner.model, held, device),
            "mse_mean": float(((held - mean) ** 2).mean()) / 255.0**2,
        },
        shown,
    )
    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    sizes = config.model_dump(mode="json", include={"resolution", "base", "latent"})
    (task.context.output / _FACTS).write_text(json.dumps(sizes), encoding="utf-8")
    return trained_result(task, TrainedPart(learner.model, config.train), progress, metrics, device=device)


class TrainedAutoencoder:
    """The autoencoder that the stage wrote: frames of clips to latents and back."""

    def __init__(self, artifacts: Artifacts, device: torch.device) -> None:
        self._config, self._device = AutoencoderConfig.model_validate(artifacts.json(_FACTS)), device
        self._model = Autoencoder(self._config).to(device).eval()
        self._model.load_state_dict(load_file(artifacts.path("model.safetensors")))

    @torch.no_grad()
    def latents(self, clips: Clips) -> Tensor:
        """Return the mean latents of all frames of clips uint8 [n,F,H,W,3], float32 [n,F,L]."""
        sized = resized_clips(clips, np.arange(len(clips)), side=self._config.resolution)
        found = [self._model.encode(as_images(clip, self._device))[0] for clip in sized]
        return torch.stack(found).cpu()

    @torch.no_grad()
    def frames(self, latents: Tensor) -> Clips:
        """Return frames of latents [n,L], uint8 [n,1,S,S,3]."""
        parts = [self._model.decode(some.to(self._device)) for some in torch.split(latents, _AT_ONCE)]
        values = (torch.cat(parts) * 255).round().byte().permute(0, 2, 3, 1)
        return np.ascontiguousarray(values.cpu().numpy())[:, None]
