"""The nishimoto stage: the clips of a library whose predicted answers are most like the measured ones, averaged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor

from trainables.config.nishimoto import NishimotoConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.base import ClipSequence
from trainables.datasets.stored_clips import read_stimuli
from trainables.judging.library import library_of
from trainables.metrics.metric import split_prefix
from trainables.stages.decoding import HELD_OUT, split_index
from trainables.system_videos import write_videos
from trainables.tensors import map_tensors

Frames = NDArray[np.uint8]
_PREDICTIONS = {"fitted": "predicted", "across_folds": "across_folds"}


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors` (with `ceiling`) and `chosen.json`.

    The prior over the library is flat, errors of the encoding model are normal, so the log posterior of a clip is
    -(y - p)' P (y - p) / 2 for the answer y, the clip's predicted answer p and the errors' precision P. The ceiling is
    the answer without noise: the prediction for the true clip. Training clips with the frames of a held-out clip are
    not in the library.

    `chosen.json`: each held-out clip to the numbers of its library clips, best first, and their log posteriors.

    Metrics: `identification_top1`, how often the posterior of the true clip is the largest among the held-out clips of
    its split (chance 1 / clips); `median_rank`, the median rank of the true clip if it were in the library.

    Raises:
        ValueError: Every training clip is also a held-out clip.
    """
    config, members = task.config.nishimoto, split_index(task)
    stimuli = read_stimuli(task.inputs, task.config.dataset)
    assert stimuli.digests is not None, "the stage clips writes them"
    library = library_of(task.inputs["voxels"].json("voxels.json")["split"], stimuli.digests)
    library = _share(library, config.share)
    answers = Answers.read(task, config, members["train"])
    held_out = torch.cat([members[name] for name in HELD_OUT])
    posterior = answers.log_posterior(answers.measured[held_out], library)
    ceiling = answers.log_posterior(answers.predicted[held_out], library)
    best = Best.of(posterior, library, config)
    videos, true = (blended(stimuli.clips, b) for b in (best, Best.of(ceiling, library, config)))
    write_videos(task, videos, held_out.numpy(), ceiling=true)
    chosen = {
        str(clip): {"clips": clips.tolist(), "log_posterior": values.tolist()}
        for clip, clips, values in zip(held_out.tolist(), best.clips, best.log_posterior, strict=True)
    }
    (task.context.output / "chosen.json").write_text(json.dumps(chosen), encoding="utf-8")
    metrics = dict(_identified(answers, members, library))
    facts = {"library": f"{len(library)} training clips", "voxels": str(len(answers.precision))}
    return StageResult(metrics, info=facts)


@dataclass(frozen=True)
class Answers:
    """Measured and predicted answers [N,v] of the voxels that are compared, and the precision of errors [v,v]."""

    measured: Tensor
    predicted: Tensor
    precision: Tensor

    @classmethod
    def read(cls, task: StageTask, config: NishimotoConfig, train: Tensor) -> "Answers":
        """Choose voxels by their correlation on validation clips; errors are those on training clips across folds."""
        encoded = map_tensors(task.inputs["encode"].path("encode.safetensors"))
        fmri = map_tensors(task.inputs["voxels"].path("voxels.safetensors"))["fmri"]
        voxels = np.sort(np.argsort(-encoded["r"][0], kind="stable")[: config.voxels])
        measured, known, across = (
            torch.from_numpy(np.array(rows[:, voxels])).double()
            for rows in (fmri, encoded[_PREDICTIONS[config.predictions]], encoded["across_folds"])
        )
        return cls(measured, known, precision_of(measured[train] - across[train], config.covariance))

    def log_posterior(self, asked: Tensor, library: Tensor) -> Tensor:
        """Return the log posterior [m,L] of clips `library`, up to a constant, for answers `asked` [m,v]."""
        root = torch.linalg.cholesky(self.precision)
        return -torch.cdist(asked @ root, self.predicted[library] @ root).square() / 2


@dataclass(frozen=True)
class Best:
    """For each of m answers the k clips with the largest posterior, best first, and their weights."""

    clips: Tensor
    log_posterior: Tensor
    weights: Tensor

    @classmethod
    def of(cls, posterior: Tensor, library: Tensor, config: NishimotoConfig) -> "Best":
        """Return the best clips of `library` by `posterior` [m,L]."""
        values, at = posterior.topk(min(config.top, len(library)), dim=1)
        equal = torch.full_like(values, 1 / values.shape[1])
        return cls(library[at], values, equal if config.combine == "mean" else values.softmax(dim=1))


def precision_of(errors: Tensor, kind: str) -> Tensor:
    """Return the inverse covariance [v,v] of errors [n,v]; see `NishimotoConfig.covariance`."""
    if kind == "identity":
        return torch.eye(errors.shape[1], dtype=errors.dtype)
    if kind == "diagonal":
        return torch.diag(1 / errors.var(dim=0))
    return torch.from_numpy(LedoitWolf().fit(errors.numpy()).precision_)


def blended(clips: ClipSequence, best: Best) -> Frames:
    """Return the weighted mean of the best clips of each answer, in RGB, uint8 [m,F,H,W,3]."""
    videos = np.empty((len(best.clips), *clips.shape[1:]), dtype=np.uint8)
    for row, (numbers, weights) in enumerate(zip(best.clips.tolist(), best.weights.tolist(), strict=True)):
        total = np.zeros(clips.shape[1:])
        for number, weight in zip(numbers, weights, strict=True):
            total += weight * np.asarray(clips[number : number + 1][0])
        videos[row] = total.round()
    return videos


def _share(library: Tensor, share: float) -> Tensor:
    """Return a fraction of the library, evenly spread; at least one clip."""
    count = max(1, round(share * len(library)))
    return library[torch.linspace(0, len(library) - 1, count).round().long()]


def _identified(answers: Answers, members: Mapping[str, Tensor], library: Tensor) -> "list[tuple[str, float]]":
    values = []
    for name in HELD_OUT:
        asked = answers.measured[members[name]]
        top1, rank = identified(answers, asked, members[name], library)
        prefix = split_prefix(name)
        values += [(f"{prefix}identification_top1", top1), (f"{prefix}median_rank", rank)]
    return values


def identified(answers: Answers, asked: Tensor, clips: Tensor, library: Tensor) -> tuple[float, float]:
    """Return how often each of `asked` [m,v] is nearest to its own of `clips` [m], and the median rank of its own.

    Ranks are among its own clip and the library, from 1.
    """
    among = answers.log_posterior(asked, clips)
    own = among.diagonal()
    rank = 1 + (answers.log_posterior(asked, library) > own[:, None]).sum(dim=1)
    return float((among.argmax(dim=1) == torch.arange(len(clips))).double().mean()), float(rank.double().median())
