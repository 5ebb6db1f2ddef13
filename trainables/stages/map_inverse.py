"""The map_inverse stage of `wen2018`: up-convolutions from maps of a first convolution to the frame, trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.runs import Artifacts
from trainables.config.frame_networks import MapInverseConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, WithoutState, pick_device, train
from trainables.networks.map_inverse import Convolution
from trainables.networks.trained_inverse import TrainedInverse
from trainables.randomness import Streams
from trainables.stages.decoding import held_out, trained_result, untrained
from trainables.stages.frame_rows import NetworkFrames, clips_of_splits
from trainables.stages.pixel_metrics import TrainedPart
from trainables.tensors import map_tensors

_STAGE = "map_inverse"
_FACTS = "map_inverse.json"
_AT_ONCE = 64
_CALIBRATED = 256
"""Training frames by whose maps channels are standardised."""


@dataclass(frozen=True)
class MapRows:
    """The frames of one split and where their maps are stored, one row each."""

    index: NDArray[np.int64]
    """Numbers in the data set."""
    maps: NDArray[Any]
    """[N,1,C,h,w] of all clips, read by rows."""
    frames: Tensor
    """[rows,3,R,R], standardised, float16."""

    def maps_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Return the maps of `rows`, float [rows,C,h,w]."""
        stored = np.array(self.maps[self.index[rows.cpu().numpy()], 0])
        return torch.from_numpy(stored).to(device).float()

    def frames_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Return the frames of `rows`, float [rows,3,R,R]."""
        return self.frames[rows.cpu()].to(device).float()


class MapInverseLearner(WithoutState):
    """Trains a `TrainedInverse` by the squared error of standardised frames."""

    def __init__(
        self, config: MapInverseConfig, convolution: Convolution, rows: Mapping[str, MapRows], job: Job
    ) -> None:
        self.train, self.watched, self.device = rows["train"], rows["validation"], job.device
        self.model = untrained(job, lambda: TrainedInverse(convolution, config.channels))
        count = len(self.train.index)
        spread = torch.linspace(0, count - 1, min(count, _CALIBRATED)).round().long()
        self.model.calibrate(self.train.maps_of(spread, torch.device("cpu")))

    @property
    def rows(self) -> int:
        """The number of training frames."""
        return len(self.train.index)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the squared error of the frames of `rows`."""
        return F.mse_loss(forward(self.train.maps_of(rows, self.device)), self.train.frames_of(rows, self.device))

    def evaluate(self) -> dict[str, float]:
        """Return the error of the validation frames, standardised as in training."""
        return {"error": float((self.drawn(self.watched) - self.watched.frames.float()).double().square().mean())}

    @torch.no_grad()
    def drawn(self, rows: MapRows) -> Tensor:
        """Return the frames that all `rows` lead to, [rows,3,R,R]."""
        parts = torch.split(torch.arange(len(rows.index)), _AT_ONCE)
        return torch.cat([self.model(rows.maps_of(part, self.device)).cpu() for part in parts])


def run(task: StageTask) -> StageResult:
    """Write `model.safetensors`, and `map_inverse.json` with the size of the network.

    Metrics: `mse`, the mean squared error of pixels in [0, 1] of frames that return from their true maps, and
    `mse_mean`, that of the mean training frame.

    Raises:
        ValueError: `layers` holds all frames of a clip or another layer than the first convolution, or a split has no
            clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config, device = task.config.map_inverse, pick_device(task.config.map_inverse.train.device)
    layers = task.inputs["layers"]
    facts, stored = layers.json("layers.json"), map_tensors(layers.path("layers.safetensors"))["maps"]
    if stored.shape[1] != 1:
        raise ValueError("map_inverse draws one frame per clip, but layers.frames is all; use mean or middle")
    shown, of_mean = NetworkFrames(task, facts), task.config.layers.frames == "mean"
    rows = {
        name: MapRows(index, stored, shown.standardised(torch.from_numpy(index), mean=of_mean).half())
        for name, index in clips_of_splits(task, trained_on=config.train.rows).items()
    }
    job = Job(_STAGE, task.seed, config.train, width=config.channels, monitor="error", goal="min", context=task.context)
    learner = MapInverseLearner(config, first_convolution(layers), rows, job)
    progress = train(learner, job)
    learner.model.to(device).eval()
    mean = shown.in_range(rows["train"].frames.float().mean(dim=0, keepdim=True))

    def metrics(held: MapRows) -> dict[str, float]:
        true = shown.in_range(held.frames.float())
        return {"mse": _squared(shown.in_range(learner.drawn(held)), true), "mse_mean": _squared(mean, true)}

    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    (task.context.output / _FACTS).write_text(json.dumps({"channels": config.channels}), encoding="utf-8")
    return trained_result(
        task, TrainedPart(learner.model, config.train), progress, held_out(metrics, rows), device=device
    )


def _squared(drawn: Tensor, true: Tensor) -> float:
    return float((drawn - true).double().square().mean())


def first_convolution(layers: Artifacts) -> Convolution:
    """Return the convolution whose maps the stage `layers` stored. Raises `ValueError` if it is not the first one."""
    filters = map_tensors(layers.path("network.safetensors"))["filters"]
    return Convolution.of(layers.json("layers.json"), torch.from_numpy(np.array(filters)))


class StoredInverse:
    """The inverse that the stage wrote."""

    def __init__(self, artifacts: Artifacts, convolution: Convolution) -> None:
        self._model = TrainedInverse(convolution, int(artifacts.json(_FACTS)["channels"])).eval()
        self._model.load_state_dict(load_file(artifacts.path("model.safetensors")))

    @torch.no_grad()
    def __call__(self, maps: Tensor) -> Tensor:
        """Return frames [n,3,R,R] of maps [n,C,h,w], on the CPU."""
        return torch.cat([self._model(some.float()) for some in torch.split(maps, _AT_ONCE)])
