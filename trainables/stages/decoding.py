"""Functions of the three decoder stages: reading fMRI and features, sparsifying training rows, writing results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.augment import Sparsifier
from trainables.config.decoders import SparsifyConfig, TrainConfig
from trainables.context import StageResult, StageTask
from trainables.imported.loading import load_weights
from trainables.imported.weights_folder import used_folder
from trainables.loop import Job, Learner, LoopState, kept_epoch, train
from trainables.metrics.decoder_metrics import DECODER_METRICS
from trainables.metrics.metric import split_prefix
from trainables.networks.initial import initialise
from trainables.networks.ridge import penalties_of
from trainables.networks.subject_layers import (
    add_subject_layers,
    choose_trained,
    subject_layers,
    take_out_subject_layers,
)
from trainables.randomness import Streams
from trainables.stages.pooling import PooledFmri, SubjectRows, read_subjects, trained_clips

BATCH = 256
"""Clips at a time when rolling out."""
MEAN_ROWS = 64
"""Clips at a time when adding up."""
HELD_OUT = ("validation", "test")
DECODED_SPLITS = ("train", *HELD_OUT)
Network = TypeVar("Network", bound=nn.Module)
_Rows = TypeVar("_Rows")
TrainedOn: TypeAlias = Literal["train", "train_and_validation"]


@dataclass(frozen=True)
class SplitRows:
    """The clips of one split, one row each: index in the data set, fMRI, and features."""

    index: Tensor
    fmri: Tensor
    """[rows, voxels]"""
    features: Mapping[str, Tensor]
    subjects: tuple[SubjectRows, ...] = ()
    """With `voxels.subjects`, the rows that are trained on, whose clips are those here. `fmri` is then zero where the
    judged subject has none."""

    def __len__(self) -> int:
        return len(self.index)


NetworkFactory: TypeAlias = Callable[[SplitRows], nn.Module]
"""From the training rows to the network of a decoder."""


def read_tensors(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Memory-map `path` and return its tensors `names`."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in names}


def read_rows(
    task: StageTask, names: tuple[str, ...], *, device: torch.device, trained_on: TrainedOn = "train"
) -> dict[str, SplitRows]:
    """Return the rows of each split with features `names`, on `device`.

    `train` holds the clips that are trained on: with "train_and_validation" the validation clips follow, which
    `validation` holds, too. With `voxels.subjects` these are the clips that any of the subjects answered, each once,
    and `subjects` has the rows.

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
    """
    members = split_index(task)
    members["train"], subjects = trained_clips(task, members, with_validation=trained_on == "train_and_validation")
    rows = {name: read_some(task, names, index, device=device) for name, index in members.items()}
    if subjects:
        of_subjects = read_subjects(task, subjects, clips=members["train"], device=device)
        rows["train"] = replace(rows["train"], subjects=of_subjects)
    return rows


def stored_names(task: StageTask, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the features `names` that the stage `features` stored."""
    with safe_open(task.inputs["features"].path("features.safetensors"), framework="pt") as file:
        return tuple(name for name in names if name in file.keys())  # noqa: SIM118  it is no mapping


def split_index(task: StageTask) -> dict[str, Tensor]:
    """Return the numbers of the clips of each split.

    Raises:
        ValueError: A split has no clips.
    """
    split = task.inputs["voxels"].json("voxels.json")["split"]
    members = {}
    for name in DECODED_SPLITS:
        members[name] = torch.tensor([i for i, member in enumerate(split) if member == name], dtype=torch.int64)
        if len(members[name]) == 0:
            raise ValueError(
                f"the {name} split has no clip with a volume; all splits together have {len(split)} clips, "
                "and each split must have at least one clip with a volume"
            )
    return members


def read_some(task: StageTask, names: tuple[str, ...], index: Tensor, *, device: torch.device) -> SplitRows:
    """Return the rows `index` with features `names`, on `device`. No other rows are read.

    Raises:
        ValueError: Features and voxels differ in their number of clips.
    """
    fmri = read_tensors(task.inputs["voxels"].path("voxels.safetensors"), ("fmri",))["fmri"]
    features = read_tensors(task.inputs["features"].path("features.safetensors"), names) if names else {}
    counts = {"fmri": len(fmri)} | {name: len(tensor) for name, tensor in features.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the inputs have different numbers of rows: {counts}; each must have one row per clip")
    picked = {key: pick(tensor, index).to(device) for key, tensor in features.items()}
    return SplitRows(index, pick(fmri, index).to(device), picked)


def mean_of_rows(task: StageTask, name: str, index: Tensor) -> Tensor:
    """Return the mean of rows `index` of feature `name`, [1, ...], read some at a time and added up in float64."""
    feature = read_tensors(task.inputs["features"].path("features.safetensors"), (name,))[name]
    total = torch.zeros(feature.shape[1:], dtype=torch.float64)
    for part in torch.split(index, MEAN_ROWS):
        total += pick(feature, part).double().sum(dim=0)
    return (total / len(index)).to(feature.dtype)[None]


def pick(tensor: Tensor, index: Tensor) -> Tensor:
    """Return the rows `index` of `tensor`; consecutive rows are returned as a view, without a copy.

    If the splits of a data set are contiguous, all trials on a machine then share its memory-mapped file (on CPU).
    """
    first, count = int(index[0]), len(index)
    in_order = torch.equal(index, torch.arange(first, first + count))
    return tensor[first : first + count] if in_order else tensor[index]


def untrained(job: Job, build: Callable[[], Network]) -> Network:
    """Return the network of `build` with the initial weights that the job's seed and `train.init` say."""
    with job.streams(0).as_default("init"):
        model = build()
        initialise(model, job.config.init)
    return model


def make_job(
    task: StageTask, stage: str, config: TrainConfig, *, monitor: str, width: int, solved: bool = False
) -> Job:
    """Return the training job of `stage`.

    A network that is `solved` has its final weights when it is built, so `config.init` does not replace them.
    """
    config = config.model_copy(update={"init": "torch"}) if solved else config
    goal = DECODER_METRICS[f"{stage}.{monitor}"].goal
    tune = getattr(task.config, stage).fine_tune
    return Job(stage, task.seed, config, width=width, monitor=monitor, goal=goal, context=task.context, fine_tune=tune)


def has_imported_weights(task: StageTask, stage: str, network: nn.Module) -> bool:
    """Load the weights that `STAGE.weights` names into `network`, if it names any. Return whether it does.

    Raises:
        ValueError: They are of another network.
    """
    folder = used_folder(task.config, stage)
    if folder is None:
        return False
    load_weights(network, folder, field=f"{stage}.weights")
    return True


def train_unless_solved(learner: Learner, job: Job, *, device: torch.device, solved: bool) -> LoopState | None:
    """Train `learner.model`, unless it is `solved`: has its final weights. Leave it on `device`, in eval mode.

    A network with a layer per subject is left with that of the judged subject alone.

    Raises:
        ValueError: It is solved, and other subjects are to be trained on.
    """
    if solved and any(subject_layers(learner.model)):
        raise ValueError(
            f"{job.stage}: nothing is trained, so there are no first layers of further subjects: leave voxels.subjects "
            "out"
        )
    progress = None if solved else train(learner, job)
    take_out_subject_layers(learner.model)
    learner.model.to(device).eval()
    return progress


class DecoderLearner:
    """The part of `trainables.loop.Learner` that all decoders share: fMRI rows and their sparsification."""

    def __init__(self, model: nn.Module, rows: Mapping[str, SplitRows], sparsify: SparsifyConfig, job: Job) -> None:
        self.model = model
        self.training = job.config
        self.job = job
        self.train = rows["train"]
        if sparsify.initial:
            self.train = _sparsified(self.train, sparsify, job.streams(0)["sparsify_initial"])
        self.sparsifier: Sparsifier | PooledFmri = Sparsifier(sparsify, self.train.fmri)
        if self.train.subjects:
            self.sparsifier = PooledFmri(sparsify, self.train.subjects)
            with job.streams(0).as_default("subjects"):
                add_subject_layers(model, self.sparsifier.voxels[1:], init=job.config.init)
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.watched = rows["validation"]
        if sparsify.validation:
            self.watched = _sparsified(self.watched, sparsify, job.streams(0)["sparsify_validation"])

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.sparsifier)

    def begin_epoch(self, streams: Streams) -> None:
        """Draw the epoch's sparsification, if the config has one. With fine-tuning, choose its rows and weights."""
        self.sparsifier.begin_epoch(streams["sparsify_epoch"])
        tune = self.job.fine_tune
        if isinstance(self.sparsifier, PooledFmri) and tune.epochs > 0:
            own = streams.epoch >= self.job.first_kept
            self.sparsifier.choose(own=own)
            choose_trained(self.model, self.trained, own=own, shared=not own or tune.weights == "all")

    def fmri(self, rows: Tensor, streams: Streams) -> Tensor:
        """Return the sparsified fMRI of training rows, [batch, voxels]; of several subjects side by side."""
        return self.sparsifier(rows, streams["sparsify"])

    def clips(self, rows: Tensor) -> Tensor:
        """Return for each of the training rows `rows` the row of `train` that has the features of its clip."""
        return self.sparsifier.clips(rows)

    def state(self) -> dict[str, Tensor]:
        """Return the accumulated sparsification."""
        return self.sparsifier.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""
        self.sparsifier.restore(state)


def _sparsified(rows: SplitRows, config: SparsifyConfig, generator: torch.Generator) -> SplitRows:
    def sparse(fmri: Tensor) -> Tensor:
        sparsifier = Sparsifier(config.model_copy(update={"refresh": "step"}), fmri)
        return sparsifier(torch.arange(len(fmri), device=fmri.device), generator)

    subjects = tuple(replace(of_subject, fmri=sparse(of_subject.fmri)) for of_subject in rows.subjects)
    return replace(rows, fmri=sparse(rows.fmri), subjects=subjects)


def in_batches(function: Callable[..., Tensor], *tensors: Tensor, size: int) -> Tensor:
    """Return `function(*tensors)`, computed `size` rows at a time to limit memory."""
    chunks = zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)
    return torch.cat([function(*chunk) for chunk in chunks])


def finish(
    task: StageTask,
    learner: DecoderLearner,
    progress: LoopState | None,
    metrics: Mapping[str, float],
    predictions: Mapping[str, Tensor],
) -> StageResult:
    """Write the model and its predictions for held-out clips; return the stage's result.

    `progress` is None if the model was not trained in epochs.
    """
    written = {name: tensor.cpu().contiguous() for name, tensor in predictions.items()}
    save_file(written, task.context.output / "predictions.safetensors")
    save_file(learner.model.state_dict(), task.context.output / "model.safetensors")
    return trained_result(task, learner, progress, metrics, device=learner.train.fmri.device)


class Trained(Protocol):
    """What a stage has trained."""

    @property
    def model(self) -> nn.Module:
        """The network."""

    @property
    def training(self) -> TrainConfig:
        """How it was trained."""


def trained_result(
    task: StageTask,
    trained: Trained,
    progress: LoopState | None,
    metrics: Mapping[str, float],
    *,
    device: torch.device,
) -> StageResult:
    """Return the result of a stage that trains: metrics, losses of the kept epoch, epochs and facts of the training.

    `progress` is None if the model was not trained in epochs.
    """
    config = trained.training
    epochs = {} if progress is None else {"best_epoch": str(progress.best_epoch), "epochs": str(progress.epoch)}
    info = {
        "parameters": str(sum(p.numel() for p in trained.model.parameters())),
        **epochs,
        "device": str(device),
        "workers": str(task.context.world_size),
        **({} if config.micro_batch is None else {"micro_batch": str(config.micro_batch)}),
        **penalties_of(trained.model),
    }
    if progress is None:
        return StageResult(dict(metrics), (), info)
    kept = progress.history[kept_epoch(progress, config) - 1]
    losses = {name: value for name, value in kept.items() if name == "loss" or name.startswith("loss_")}
    return StageResult({**losses, **metrics}, tuple(progress.history), info)


@torch.no_grad()
def predict(model: nn.Module, rows: Mapping[str, SplitRows]) -> tuple[Any, Tensor]:
    """Return the predictions of `model` for validation and test clips, and the clips' indices in the data set."""
    fmri, index = (torch.cat([getattr(rows[name], part) for name in HELD_OUT]) for part in ("fmri", "index"))
    return model(fmri), index


def held_out(metrics: Callable[[_Rows], Mapping[str, float]], rows: Mapping[str, _Rows]) -> dict[str, float]:
    """Return `metrics` of the validation clips, and of the test clips with the prefix `test_`."""
    found = {split: metrics(rows[split]) for split in HELD_OUT}
    return {f"{split_prefix(split)}{name}": value for split in HELD_OUT for name, value in found[split].items()}
