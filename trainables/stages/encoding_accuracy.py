"""The encoding_accuracy stage: how well a voxel's responses are predicted from features of the clips, by ridge."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from trainables.context import StageResult, StageTask
from trainables.metrics.correlation import column_correlation
from trainables.metrics.importance import by_region
from trainables.metrics.metric import split_prefix
from trainables.ridge import RidgeSolver
from trainables.stages.decoding import HELD_OUT, pick, read_tensors, split_index
from trainables.tensors import map_tensors

CARRIED: Mapping[str, tuple[str, ...]] = {
    "caption": ("words",),
    "first_frame": ("image", "contrast", "colour"),
    "motion": ("motion",),
}
"""Features to the planted drives that they describe."""
_SIDE = 16
"""Latents are averaged to at most so many places from left to right, and from top to bottom."""
_CLIPS = 64
"""Clips at a time."""
_NORMAL_95 = 1.6448536269514722
Floats = NDArray[np.float64]


def run(task: StageTask) -> StageResult:
    """Write `voxels.parquet` (voxel, roi, features, split, r) and `regions.json`.

    r is Pearson's correlation, over the clips of a split, of the measured responses of a voxel and those that ridge
    regression predicts; 0 if either is constant. Each voxel has the penalty with the smallest error on validation
    clips. Features: `caption`, the CLIP embedding of the caption; `first_frame`, its latent; `motion`, for each place
    of the latent the product of its change over time and its slope, summed over frames (it is linear in the velocity,
    as in the gradient method of optical flow: Lucas and Kanade, 1981).

    regions: mean r of each region; if the data set's answer was planted, also the mean planted share, and the chance
    level of the rank correlations.

    Metrics, on validation clips and with `test_` on test clips: for all features `FEATURES_r`, the mean r over voxels;
    if the answer was planted, `FEATURES_planted`, Spearman's rank correlation over voxels of r and the share of a
    voxel's signal that these features describe. Chance is 0.

    Raises:
        ValueError: A split has no clips.
    """
    members, fmri = split_index(task), _voxels(task, "fmri")
    brain = _brain(task)
    metrics: dict[str, float] = {}
    table: list[Mapping[str, Any]] = []
    facts: dict[str, Any] = {"regions": list(brain.names), "r": {}, "carries": CARRIED}
    for features in CARRIED:
        inputs = _standardised(_features(task, features), members["train"])
        if inputs.shape[1] == 0:
            task.context.telemetry.warn(
                f"the features {features!r} are equal for all training clips: they predict nothing"
            )
        found = _correlations(inputs, fmri, members, task.config.encoding_accuracy.alphas)
        facts["r"][features] = {split: by_region(r, brain.roi, regions=len(brain.names)).tolist() for split, r in found}
        for split, r in found:
            table += _lines(features, split, r, brain)
            metrics |= _measured(features, split_prefix(split), r, brain)
    if brain.planted:
        facts["planted"] = {
            name: by_region(share, brain.roi, regions=len(brain.names)).tolist()
            for name, share in brain.planted.items()
        }
        facts["chance"] = chance_level(len(brain.voxel))
    pq.write_table(pa.Table.from_pylist(table), task.context.output / "voxels.parquet")
    (task.context.output / "regions.json").write_text(json.dumps(facts), encoding="utf-8")
    return StageResult(metrics, info={"voxels": str(len(brain.voxel))})


@dataclass(frozen=True)
class _Brain:
    voxel: NDArray[np.int32]
    roi: NDArray[np.int16]
    names: tuple[str, ...]
    planted: Mapping[str, Floats]
    """Features to the share of each voxel's signal that they describe; empty if unknown."""


def _brain(task: StageTask) -> _Brain:
    voxel, roi = _voxels(task, "voxel").numpy(), _voxels(task, "roi").numpy()
    names = tuple(task.inputs["voxels"].json("voxels.json")["roi_names"])
    drives = task.inputs["data"].json("data.json")["drives"]
    if not drives:
        return _Brain(voxel, roi, names, {})
    path = task.inputs["data"].path(f"planted_{task.config.voxels.subject}.safetensors")
    share = map_tensors(path)["share"][voxel].astype(np.float64)
    columns = {name: [drives.index(drive) for drive in carried] for name, carried in CARRIED.items()}
    return _Brain(voxel, roi, names, {name: share[:, chosen].sum(axis=1) for name, chosen in columns.items()})


def _voxels(task: StageTask, name: str) -> Tensor:
    return read_tensors(task.inputs["voxels"].path("voxels.safetensors"), (name,))[name]


def _features(task: StageTask, name: str) -> Tensor:
    """Return one row per clip, [N,K]."""
    path = task.inputs["features"].path("features.safetensors")
    if name == "caption":
        return read_tensors(path, ("clip_text",))["clip_text"]
    latents = read_tensors(path, ("latents",))["latents"]
    make = first_frame_features if name == "first_frame" else motion_features
    return torch.cat([make(part) for part in torch.split(latents, _CLIPS)])


def first_frame_features(latents: Tensor) -> Tensor:
    """Return the first frame of latents [n,F,c,h,w], averaged to few places, [n,K]."""
    return _coarse(latents[:, 0]).flatten(1)


def motion_features(latents: Tensor) -> Tensor:
    """Return the product of change over time and slope to the right and downwards, summed over frames, [n,K].

    Args:
        latents: [n,F,c,h,w].
    """
    change = latents[:, 1:] - latents[:, :-1]
    middle = (latents[:, 1:] + latents[:, :-1]) / 2
    padded = F.pad(middle, (1, 1, 1, 1, 0, 0), mode="replicate")
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    products = torch.stack([(change * slope).sum(dim=(1, 2)) for slope in (right, down)], dim=1)
    return _coarse(products).flatten(1)


def _coarse(maps: Tensor) -> Tensor:
    """Return maps [n,c,h,w] averaged to at most `_SIDE` places along each axis."""
    height, width = maps.shape[-2:]
    return F.adaptive_avg_pool2d(maps, (min(_SIDE, height), min(_SIDE, width)))


def _standardised(features: Tensor, train: Tensor) -> Tensor:
    """Return features [N,K] by the mean and standard deviation of training clips; constant ones are left out."""
    of_train = pick(features, train).double()
    mean, spread = of_train.mean(dim=0), of_train.std(dim=0)
    varying = spread > 0
    return ((features[:, varying].double() - mean[varying]) / spread[varying]).float()


def _correlations(
    inputs: Tensor, fmri: Tensor, members: Mapping[str, Tensor], penalties: tuple[float, ...]
) -> list[tuple[str, Floats]]:
    """Return r of each voxel [V], on validation and test clips; 0 if prediction or response is constant."""
    if inputs.shape[1] == 0:
        return [(name, np.zeros(fmri.shape[1])) for name in HELD_OUT]
    train, validation = members["train"], members["validation"]
    solution = RidgeSolver.of(pick(inputs, train)).chosen(
        pick(fmri, train),
        validation=(pick(inputs, validation), pick(fmri, validation)),
        penalties=penalties,
        per="target",
    )
    predicted = {name: pick(inputs, members[name]) @ solution.weight.T + solution.bias for name in HELD_OUT}
    return [(name, column_correlation(predicted[name], pick(fmri, members[name])).numpy()) for name in HELD_OUT]


def _measured(features: str, prefix: str, r: Floats, brain: _Brain) -> Iterator[tuple[str, float]]:
    yield f"{prefix}{features}_r", float(r.mean())
    if features in brain.planted and np.ptp(brain.planted[features]) > 0 and np.ptp(r) > 0:
        yield f"{prefix}{features}_planted", float(spearmanr(r, brain.planted[features]).statistic)


def _lines(features: str, split: str, r: Floats, brain: _Brain) -> Iterator[Mapping[str, Any]]:
    for voxel, roi, value in zip(brain.voxel, brain.roi, r, strict=True):
        yield {
            "voxel": int(voxel),
            "roi": brain.names[roi],
            "features": features,
            "split": split,
            "r": float(value),
        }


def chance_level(voxels: int) -> float:
    """Return the 95th percentile of Spearman's correlation of two random orders of so many voxels.

    By the normal approximation, with variance 1 / (voxels - 1). Neighbouring voxels of a brain are alike, so that fewer
    of them are independent: the level is a lower bound.
    """
    return _NORMAL_95 / float(np.sqrt(voxels - 1)) if voxels > 1 else float("nan")
