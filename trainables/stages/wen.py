"""The wen stage: maps of a network's first convolution, predicted by linear models, and back to one frame per clip."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.config.linear_systems import WenConfig
from trainables.context import StageResult, StageTask
from trainables.metrics.correlation import column_correlation
from trainables.metrics.metric import split_prefix
from trainables.networks.map_inverse import Convolution, LocalInverse, TransposedInverse
from trainables.ridge import RidgeSolver
from trainables.stages.decoding import HELD_OUT, SplitRows, read_rows
from trainables.stages.frame_rows import NetworkFrames
from trainables.stages.map_inverse import StoredInverse
from trainables.system_videos import write_videos
from trainables.tensors import map_tensors

TOP = (1, 5)
FITTED = 512
"""Training frames that an inverse is fitted to, evenly spread: its few weights need no more."""
_INVERSES: Mapping[str, type[TransposedInverse | LocalInverse]] = {
    "transposed": TransposedInverse,
    "local": LocalInverse,
}


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors` with one frame per held-out clip, and `ceiling`: the same of true maps.

    Metrics: `map_r`, correlation over clips of predicted and true maps, mean over units; `category_top1` and
    `category_top5`, how often the network's answer for the true frame is the best, or among the five best, of the
    classes that the predicted penultimate layer leads to.

    Raises:
        ValueError: `layers` holds all frames of a clip or another layer than the first convolution, or a split has no
            clips.
    """
    config, layers = task.config.wen, task.inputs["layers"]
    stored = map_tensors(layers.path("layers.safetensors"))
    if stored["maps"].shape[1] != 1:
        raise ValueError("wen2018 predicts one frame per clip, but layers.frames is all; use mean or middle")
    network = {name: torch.from_numpy(np.array(values)) for name, values in _network(task).items()}
    facts = layers.json("layers.json")
    convolution = Convolution.of(facts, network["filters"])
    rows = read_rows(task, (), device=torch.device("cpu"))
    maps = {name: _picked(stored["maps"], split)[:, 0] for name, split in rows.items()}
    solver = RidgeSolver.of(rows["train"].fmri)
    predicted = _predicted(solver, rows, maps, config)
    shown = NetworkFrames(task, facts)
    inverse = _inverse(task, convolution, shown, rows["train"].index, maps["train"])
    index = torch.cat([rows[name].index for name in HELD_OUT])
    made, true = (shown.frames(inverse(torch.cat([of[name] for name in HELD_OUT]))) for of in (predicted, maps))
    write_videos(task, made, index.numpy(), ceiling=true)
    metrics = _metrics(predicted, maps) | _categories(solver, rows, stored, network, config)
    return StageResult(metrics, info={"clips": str(len(index))})


def _inverse(
    task: StageTask, convolution: Convolution, shown: NetworkFrames, index: Tensor, maps: Tensor
) -> TransposedInverse | LocalInverse | StoredInverse:
    """Return what makes frames of maps: trained before, or fitted to frames of the training clips `index`."""
    if task.config.wen.inverse == "trained":
        return StoredInverse(task.inputs["map_inverse"], convolution)
    fitted = torch.linspace(0, len(index) - 1, min(len(index), FITTED)).round().long()
    frames = shown.standardised(index[fitted], mean=task.config.layers.frames == "mean")
    return _INVERSES[task.config.wen.inverse](convolution, maps[fitted], frames)


def _network(task: StageTask) -> Mapping[str, NDArray[Any]]:
    return map_tensors(task.inputs["layers"].path("network.safetensors"))


def _picked(stored: NDArray[Any], split: SplitRows) -> Tensor:
    return torch.from_numpy(np.array(stored[split.index.numpy()])).float()


def _predicted(
    solver: RidgeSolver, rows: Mapping[str, SplitRows], maps: Mapping[str, Tensor], config: WenConfig
) -> dict[str, Tensor]:
    """Return the predicted maps [n,C,h,w] of held-out clips: one model per channel, whose weights are not kept."""
    predicted = {name: torch.empty_like(maps[name]) for name in HELD_OUT}
    for channel in range(maps["train"].shape[1]):
        solution = solver.chosen(
            maps["train"][:, channel].flatten(1),
            validation=(rows["validation"].fmri, maps["validation"][:, channel].flatten(1)),
            penalties=config.alphas,
            per="all",
        )
        for name, values in predicted.items():
            flat = rows[name].fmri @ solution.weight.T + solution.bias
            values[:, channel] = flat.view(len(flat), *values.shape[2:])
    return predicted


def _metrics(predicted: Mapping[str, Tensor], maps: Mapping[str, Tensor]) -> dict[str, float]:
    pairs = ((predicted[name].flatten(1), maps[name].flatten(1)) for name in HELD_OUT)
    validation, test = (float(column_correlation(*pair).float().mean()) for pair in pairs)
    return {"map_r": validation, "test_map_r": test}


def _categories(
    solver: RidgeSolver,
    rows: Mapping[str, SplitRows],
    stored: Mapping[str, NDArray[Any]],
    network: Mapping[str, Tensor],
    config: WenConfig,
) -> dict[str, float]:
    """Return how often the network's own classifier, on predicted principal components, is right."""
    values = {name: _picked(stored["penultimate"], split)[:, 0] for name, split in rows.items()}
    centre = values["train"].mean(dim=0)
    _, spread, directions = torch.linalg.svd((values["train"] - centre).double(), full_matrices=False)
    explained = spread.square().cumsum(0) / spread.square().sum()
    kept = directions[: int((explained < config.components).sum()) + 1].float()
    components = {name: (of_split - centre) @ kept.T for name, of_split in values.items()}
    solution = solver.chosen(
        components["train"],
        validation=(rows["validation"].fmri, components["validation"]),
        penalties=config.alphas,
        per="target",
    )
    metrics: dict[str, float] = {}
    for name in HELD_OUT:
        penultimate = (rows[name].fmri @ solution.weight.T + solution.bias) @ kept + centre
        scores = penultimate @ network["score_weight"].T + network["score_bias"]
        right = _picked(stored["scores"], rows[name])[:, 0].argmax(dim=1)
        rank = (scores > scores.gather(1, right[:, None])).sum(dim=1)
        prefix = split_prefix(name)
        metrics |= {f"{prefix}category_top{k}": float((rank < k).double().mean()) for k in TOP}
    return metrics
