"""What the three decoder stages share: reading fMRI with features, sparsified training rows, writing results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.augment import Sparsifier
from trainables.config.decoders import SparsifyConfig, TrainConfig
from trainables.context import StageResult, StageTask
from trainables.loop import Job, LoopState
from trainables.metrics.registry import METRICS
from trainables.randomness import Streams

BATCH = 256
"""Clips at a time when rolling out."""
HELD_OUT = ("validation", "test")
SPLITS = ("train", *HELD_OUT)


@dataclass(frozen=True)
class SplitRows:
    """The clips of one split: their indices in the data set, fMRI, and features, row by row."""

    index: Tensor
    fmri: Tensor
    """[rows, voxels]"""
    features: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.index)


def read_tensors(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Memory-map `path` and return its tensors `names`."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in names}


def read_rows(task: StageTask, names: tuple[str, ...], *, device: torch.device) -> dict[str, SplitRows]:
    """Return the rows of each split with features `names`, on `device`.

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
    """
    fmri = read_tensors(task.inputs["voxels"].path("voxels.safetensors"), ("fmri",))["fmri"]
    features = read_tensors(task.inputs["features"].path("features.safetensors"), names)
    counts = {"fmri": len(fmri)} | {name: len(tensor) for name, tensor in features.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"every input must have one row for each clip, but the rows are {counts}")
    split = task.inputs["voxels"].json("voxels.json")["split"]
    rows = {}
    for name in SPLITS:
        index = torch.tensor([i for i, member in enumerate(split) if member == name], dtype=torch.int64)
        if len(index) == 0:
            raise ValueError(f"the {name} split has no clip with an answering volume; splits hold {len(split)} clips")
        picked = {key: pick(tensor, index).to(device) for key, tensor in features.items()}
        rows[name] = SplitRows(index, pick(fmri, index).to(device), picked)
    return rows


def pick(tensor: Tensor, index: Tensor) -> Tensor:
    """Return the rows `index` of `tensor`: where they follow one another, a view and no copy.

    So on CPU all trials of a machine share the one memory-mapped copy of a data set whose splits lie in order.
    """
    first, count = int(index[0]), len(index)
    in_order = torch.equal(index, torch.arange(first, first + count))
    return tensor[first : first + count] if in_order else tensor[index]


def make_job(task: StageTask, stage: str, config: TrainConfig, *, monitor: str, width: int) -> Job:
    """Return the training job of `stage`."""
    goal = METRICS[f"{stage}.{monitor}"].goal
    return Job(stage, task.seed, config, width=width, monitor=monitor, goal=goal, context=task.context)


class DecoderLearner:
    """The part of `trainables.loop.Learner` that is the same for all decoders: fMRI rows and their sparsification."""

    def __init__(self, model: nn.Module, rows: Mapping[str, SplitRows], sparsify: SparsifyConfig, job: Job) -> None:
        self.model = model
        self.micro_batch = job.config.micro_batch
        self.train = rows["train"]
        self.sparsifier = Sparsifier(sparsify, self.train.fmri)
        self.watched = rows["validation"]
        if sparsify.validation:
            self.watched = _sparsified(self.watched, sparsify, job.streams(0)["sparsify_validation"])

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    def begin_epoch(self, streams: Streams) -> None:
        """Draw the epoch's sparsification, where the config asks for one."""
        self.sparsifier.begin_epoch(streams["sparsify_epoch"])

    def fmri(self, rows: Tensor, streams: Streams) -> Tensor:
        """Return the sparsified fMRI of training rows, [batch, voxels]."""
        return self.sparsifier(rows, streams["sparsify"])

    def state(self) -> dict[str, Tensor]:
        """Return the accumulated sparsification."""
        return {} if self.sparsifier.keep is None else {"keep": self.sparsifier.keep}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.sparsifier.keep = state.get("keep")


def _sparsified(rows: SplitRows, config: SparsifyConfig, generator: torch.Generator) -> SplitRows:
    once = Sparsifier(config.model_copy(update={"refresh": "step"}), rows.fmri)
    every = torch.arange(len(rows), device=rows.fmri.device)
    return SplitRows(rows.index, once(every, generator), rows.features)


def in_batches(function: Callable[..., Tensor], *tensors: Tensor, size: int) -> Tensor:
    """Return what `function` makes of `tensors`, `size` rows at a time, to bound memory."""
    chunks = zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)
    return torch.cat([function(*chunk) for chunk in chunks])


def finish(
    task: StageTask,
    learner: DecoderLearner,
    progress: LoopState,
    metrics: Mapping[str, float],
    predictions: Mapping[str, Tensor],
) -> StageResult:
    """Write the model and what it predicts for held-out clips; return the stage's result."""
    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    written = {name: tensor.cpu().contiguous() for name, tensor in predictions.items()}
    save_file(written, task.context.output / "predictions.safetensors")
    best = progress.history[progress.best_epoch - 1]
    info = {
        "parameters": str(sum(p.numel() for p in learner.model.parameters())),
        "best_epoch": str(progress.best_epoch),
        "epochs": str(progress.epoch),
        "device": str(next(learner.model.parameters()).device),
        "workers": str(task.context.world_size),
        **({} if learner.micro_batch is None else {"micro_batch": str(learner.micro_batch)}),
    }
    return StageResult({"loss": best["loss"], **metrics}, tuple(progress.history), info)


@torch.no_grad()
def predict(model: nn.Module, rows: Mapping[str, SplitRows]) -> tuple[Any, Tensor]:
    """Return what `model` reads from the fMRI of validation and test clips, and their indices in the data set."""
    fmri, index = (torch.cat([getattr(rows[name], part) for name in HELD_OUT]) for part in ("fmri", "index"))
    return model(fmri), index


def held_out(metrics: Callable[[SplitRows], Mapping[str, float]], rows: Mapping[str, SplitRows]) -> dict[str, float]:
    """Return `metrics` of the validation clips, and those of the test clips under the prefix `test_`."""
    test = {f"test_{name}": value for name, value in metrics(rows["test"]).items()}
    return {**metrics(rows["validation"]), **test}
