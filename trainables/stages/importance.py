"""The importance stage: importance of voxels and regions for each decoder, compared with the planted signal."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from trainables.context import StageResult, StageTask
from trainables.graph import decoder_kind, is_solved
from trainables.loop import pick_device
from trainables.metrics.importance import (
    Errors,
    Floats,
    by_region,
    gradient,
    mean_absolute_weight,
    permutation,
    share_of_range,
    shuffled_ratio,
    weight_product,
)
from trainables.stages.decoding import SplitRows, read_some, read_tensors, split_index
from trainables.stages.trained import trained_motion_decoder, trained_semantic_decoder, trained_structure_decoder
from trainables.tensors import map_tensors

CARRIES: Mapping[str, tuple[str, ...]] = {
    "semantic": ("words",),
    "structure": ("image", "contrast"),
    "motion": ("motion",),
}
"""Decoder to the planted drives that carry its target: captions, the first frame, motion."""
METHODS = ("weight_product", "gradient", "permutation")


@dataclass(frozen=True)
class AnalysedDecoder:
    """A trained decoder, prepared for the computation of importance."""

    name: str
    errors: Errors
    layers: tuple[nn.Linear, ...]
    """The layers whose weights the paper multiplies; of a linear decoder, its only one."""
    linear: bool

    def by_weights(self) -> Floats:
        """Return the importance of each voxel by the weights, [voxels]."""
        return mean_absolute_weight(self.layers[0]) if self.linear else weight_product(self.layers)


@dataclass(frozen=True)
class Brain:
    """Facts about the voxels."""

    voxel: NDArray[np.int32]
    roi: NDArray[np.int16]
    roi_names: tuple[str, ...]
    planted: Mapping[str, Floats]
    """Decoder to the share of each voxel's signal that carries the decoder's target; empty if unknown."""


def run(task: StageTask) -> StageResult:
    """Write `voxels.parquet` (voxel, roi, decoder, method, importance from 0 to 1) and `regions.json`.

    regions: for each decoder, the importance of each region by method, and `planted`, the mean planted share. The
    importance of a region is the mean over its voxels; for permutation, all voxels of the region are shuffled together.
    Metrics: for each decoder `shuffled_ratio`, its error with shuffled fMRI as a multiple of its error; chance level 1.
    If the data set's answer was planted, Spearman's rank correlation of importance with the planted shares, over voxels
    and over regions; chance level 0.

    Raises:
        ValueError: A split has no clips, features and voxels differ in their number of clips, or a decoder is that of
            a plug-in.
    """
    _refuse_plugins(task)
    config = task.config.importance
    device = pick_device("auto")
    index = split_index(task)["validation"][: config.clips]
    rows = read_some(task, ("clip_text", "condition", "latents"), index, device=device)
    brain = _brain(task)
    table: list[Mapping[str, Any]] = []
    regions: dict[str, dict[str, list[float]]] = {}
    metrics: dict[str, float] = {}
    for decoder in _decoders(task, rows):
        maps, areas = _importance(task, decoder, rows.fmri, brain)
        regions[decoder.name] = {method: values.tolist() for method, values in areas.items()}
        ratio = shuffled_ratio(decoder.errors, rows.fmri, shuffles=config.shuffles, seed=config.seed)
        metrics[f"{decoder.name}_shuffled_ratio"] = ratio
        planted = brain.planted.get(decoder.name)
        if planted is not None:
            mean_share = by_region(planted, brain.roi, regions=len(brain.roi_names))
            regions[decoder.name]["planted"] = mean_share.tolist()
            total_share = mean_share * np.bincount(brain.roi, minlength=len(mean_share))
            for method in METHODS:
                # Shuffling a whole region removes the information of all its voxels, so it corresponds to the sum.
                share = total_share if method == "permutation" else mean_share
                metrics[f"{decoder.name}_{method}_voxels"] = _agreement(maps[method], planted)
                metrics[f"{decoder.name}_{method}_regions"] = _agreement(areas[method], share)
        table.extend(_lines(decoder.name, maps, brain))
    pq.write_table(pa.Table.from_pylist(list(table)), task.context.output / "voxels.parquet")
    facts = {"regions": list(brain.roi_names), "importance": regions, "carries": CARRIES}
    (task.context.output / "regions.json").write_text(json.dumps(facts), encoding="utf-8")
    return StageResult(metrics, info={"device": str(device), "clips": str(len(rows))})


def _refuse_plugins(task: StageTask) -> None:
    for stage in CARRIES:
        kind = decoder_kind(task.config, stage)
        if kind is not None:
            raise ValueError(f"importance reads the layers of our decoders only, but {stage}.kind is {kind.name}")


def _decoders(task: StageTask, rows: SplitRows) -> Iterator[AnalysedDecoder]:
    condition, latents = rows.features["condition"][:, 1:], rows.features["latents"]
    linear = {name: is_solved(task.config, name) for name in CARRIES}
    semantic, structure = trained_semantic_decoder(task, rows), trained_structure_decoder(task, rows)
    to_condition: Errors = lambda fmri: _mse(semantic(fmri)[1], condition)  # noqa: E731
    yield AnalysedDecoder("semantic", to_condition, semantic.fmri_layers, linear["semantic"])
    to_first: Errors = lambda fmri: _mse(structure(fmri), latents[:, 0])  # noqa: E731
    yield AnalysedDecoder("structure", to_first, structure.fmri_layers, linear["structure"])
    motion = trained_motion_decoder(task, rows)
    # The true first frame is given, so that only the later frames are decoded from fMRI.
    rolled: Errors = lambda fmri: _mse(motion.roll_out(_again(latents[:, 0], fmri), fmri)[:, 1:], latents[:, 1:])  # noqa: E731
    yield AnalysedDecoder("motion", rolled, motion.fmri_layers, linear["motion"])


def _mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the error of each row of `prediction`, which has the clips of `target` once or several times."""
    return (prediction - _again(target, prediction)).square().flatten(1).mean(dim=1)


def _again(clips: Tensor, rows: Tensor) -> Tensor:
    """Repeat `clips` to the length of `rows`."""
    return clips.repeat(len(rows) // len(clips), *(1 for _ in clips.shape[1:]))


def _importance(
    task: StageTask, decoder: AnalysedDecoder, fmri: Tensor, brain: Brain
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the importance of voxels and of regions, both by method."""
    config = task.config.importance
    shuffles = {"shuffles": config.shuffles, "seed": config.seed}
    single_voxels = [np.array([voxel]) for voxel in range(fmri.shape[1])]
    maps = {
        "weight_product": decoder.by_weights(),
        "gradient": gradient(decoder.errors, fmri),
        "permutation": permutation(decoder.errors, fmri, single_voxels, **shuffles),
    }
    count = len(brain.roi_names)
    areas = {method: by_region(values, brain.roi, regions=count) for method, values in maps.items()}
    members = [np.nonzero(brain.roi == region)[0] for region in range(count)]
    areas["permutation"] = permutation(decoder.errors, fmri, members, **shuffles)
    return maps, areas


def _brain(task: StageTask) -> Brain:
    voxels = task.inputs["voxels"]
    arrays = read_tensors(voxels.path("voxels.safetensors"), ("voxel", "roi"))
    voxel, roi = arrays["voxel"].numpy(), arrays["roi"].numpy()
    names = tuple(voxels.json("voxels.json")["roi_names"])
    drives = task.inputs["data"].json("data.json")["drives"]
    planted: dict[str, Floats] = {}
    if drives:
        path = task.inputs["data"].path(f"planted_{task.config.voxels.subject}.safetensors")
        share = map_tensors(path)["share"][voxel].astype(np.float64)
        planted = {decoder: share[:, [drives.index(d) for d in wanted]].sum(1) for decoder, wanted in CARRIES.items()}
    return Brain(voxel, roi, names, planted)


def _agreement(importance: Floats, planted: Floats) -> float:
    finite = np.isfinite(importance) & np.isfinite(planted)
    return float(spearmanr(importance[finite], planted[finite]).statistic)


def _lines(decoder: str, maps: Mapping[str, Floats], brain: Brain) -> Iterator[Mapping[str, Any]]:
    for method, values in maps.items():
        for voxel, roi, value in zip(brain.voxel, brain.roi, share_of_range(values), strict=True):
            region = brain.roi_names[roi]
            yield {"voxel": int(voxel), "roi": region, "decoder": decoder, "method": method, "importance": float(value)}
