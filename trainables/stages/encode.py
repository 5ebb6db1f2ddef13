"""The encode stage: an encoding model, from the motion energy of a clip to the answer of each voxel."""

import json

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from trainables.context import StageResult, StageTask
from trainables.metrics.correlation import column_correlation
from trainables.ridge import RidgeSolver, RidgeWeights
from trainables.stages.decoding import HELD_OUT, split_index
from trainables.tensors import map_tensors

Floats = NDArray[np.floating]


def run(task: StageTask) -> StageResult:
    """Write `encode.safetensors` and `regions.json`.

    safetensors: `weight` float32 [V,K] and `bias` [V] of standardised energy, `energy_mean` and `energy_std` [K];
    `penalty` float64 [V]; `predicted` float32 [N,V], answers as the model of all training clips predicts them;
    `across_folds` float32 [N,V], the same, but of training clips by models of the other folds; `r` float32 [2,V],
    correlation of prediction and fMRI over validation clips and over test clips, 0 for a constant voxel. json: mean
    correlation of each region.

    Metrics: `r_mean`, over voxels; chance is 0.

    Raises:
        ValueError: A split has no clips, or there are fewer training clips than folds.
    """
    members, fmri = split_index(task), _tensor(task, "voxels", "fmri")
    energy = _tensor(task, "energy", "energy")
    train = members["train"]
    centre, spread = energy[train].mean(dim=0), energy[train].std(dim=0)
    inputs = (energy - centre) / torch.where(spread > 0, spread, torch.ones_like(spread))
    solution = _chosen(task, inputs, fmri, train=train, validation=members["validation"])
    predicted = inputs @ solution.weight.T + solution.bias
    across = predicted.clone()
    across[train] = _cross_fitted(inputs[train], fmri[train], solution.penalty, folds=task.config.encode.folds)
    correlations = torch.stack([_correlation(predicted, fmri, members[name]) for name in HELD_OUT])
    tensors = {
        "predicted": predicted,
        "across_folds": across,
        "r": correlations,
        "penalty": solution.penalty,
        "weight": solution.weight,
    }
    tensors |= {"bias": solution.bias, "energy_mean": centre, "energy_std": spread}
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, task.context.output / "encode.safetensors"
    )
    regions = _regions(task, correlations.numpy())
    (task.context.output / "regions.json").write_text(json.dumps(regions, indent=1), encoding="utf-8")
    metrics = {"r_mean": float(correlations[0].mean()), "test_r_mean": float(correlations[1].mean())}
    in_words = ", ".join(f"{name} {value:.2f}" for name, value in regions["test"].items())
    return StageResult(metrics, info={"r by region, test clips": in_words})


def _correlation(predicted: Tensor, fmri: Tensor, clips: Tensor) -> Tensor:
    return column_correlation(predicted[clips], fmri[clips]).float()


def _chosen(task: StageTask, inputs: Tensor, fmri: Tensor, *, train: Tensor, validation: Tensor) -> RidgeWeights:
    solver = RidgeSolver.of(inputs[train])
    held_out = (inputs[validation], fmri[validation])
    return solver.chosen(fmri[train], validation=held_out, penalties=task.config.encode.alphas, per="target")


def _cross_fitted(inputs: Tensor, fmri: Tensor, penalty: Tensor, *, folds: int) -> Tensor:
    """Return the prediction of each row by a model of the other folds, [n,V]. A fold is a stretch of clips."""
    if len(inputs) < folds:
        raise ValueError(f"encode.folds is {folds}, but there are {len(inputs)} training clips; use that many or fewer")
    predicted = torch.empty_like(fmri)
    for part in torch.arange(len(inputs)).tensor_split(folds):
        others = torch.ones(len(inputs), dtype=torch.bool)
        others[part] = False
        solution = RidgeSolver.of(inputs[others]).with_penalties(fmri[others], penalty)
        predicted[part] = inputs[part] @ solution.weight.T + solution.bias
    return predicted


def _tensor(task: StageTask, stage: str, name: str) -> Tensor:
    return torch.from_numpy(np.array(map_tensors(task.inputs[stage].path(f"{stage}.safetensors"))[name]))


def _regions(task: StageTask, correlations: Floats) -> dict[str, dict[str, float]]:
    """Return split and region to the mean correlation of its voxels."""
    names = task.inputs["voxels"].json("voxels.json")["roi_names"]
    roi = map_tensors(task.inputs["voxels"].path("voxels.safetensors"))["roi"]
    return {
        split: {name: float(values[roi == number].mean()) for number, name in enumerate(names) if (roi == number).any()}
        for split, values in zip(HELD_OUT, correlations, strict=True)
    }
