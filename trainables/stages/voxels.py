"""The voxels stage: pairs clips with BOLD volumes, removes drift, and standardises the voxels."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from storage.runs import Artifacts
from trainables.config.data import VoxelsConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.errors import DatasetError

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Texts = NDArray[np.str_]

DROPPED = "dropped"
"""The split of clips without a BOLD volume. Their rows are zeros."""
_FLAT = 1e-6
"""A voxel whose standard deviation is below this fraction of its largest value is constant up to rounding."""


def run(task: StageTask) -> StageResult:
    """Write `voxels.safetensors` and `voxels.json`.

    safetensors: `fmri` float32 [N,V], row i belongs to clip i; `mean` and `std` [V] of the training rows; `roi` int16
    [V]; `voxel` int32 [V], the voxel's column in the data stage's `bold_<s>`. json: split, roi_names, subject, lag_tr,
    dropped (clips without a volume) and constant (voxels that were left out).

    Raises:
        DatasetError: The subject does not exist, a value is not finite, or no training clip or voxel is left.
    """
    config, facts = task.config.voxels, task.inputs["data"].json("data.json")
    bold, roi = _subject(task.inputs["data"], facts, config.subject)
    split, scaled, arrays = voxel_rows(bold, facts, config)
    kept = arrays["voxel"]
    tensors = {"fmri": scaled, "roi": roi[kept], **arrays}
    # safetensors writes the memory buffer and ignores strides
    tensors = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    save_file(tensors, task.context.output / "voxels.safetensors")
    constant = np.setdiff1d(np.arange(len(roi)), kept).tolist()
    described = {
        "split": split.tolist(),
        "roi_names": facts["roi_names"],
        "subject": facts["subjects"][config.subject],
        "lag_tr": _lag(facts, config),
        "dropped": np.nonzero(split == DROPPED)[0].tolist(),
        "constant": constant,
    }
    (task.context.output / "voxels.json").write_text(json.dumps(described))
    dropped = len(described["dropped"])
    return StageResult(info={"voxels": str(len(kept)), "constant": str(len(constant)), "dropped": str(dropped)})


def voxel_rows(bold: Floats, facts: Mapping[str, Any], config: VoxelsConfig) -> tuple[Texts, Floats, dict[str, Any]]:
    """Return each clip's split, its standardised row [N,V], and the arrays of `standardise` about the voxels.

    Args:
        bold: Volumes by voxels, [T,V].
        facts: The data stage's `data.json`.
        config: How volumes are selected and scaled.
    """
    starts = [0] if facts["run_volume"] is None else facts["run_volume"]
    runs = [*zip(starts, [*starts[1:], len(bold)], strict=True)]
    if config.detrend and facts["run_volume"] is not None:
        bold = detrend(bold, runs, tr=facts["tr"])
    volumes = answering(np.array(facts["clip_volume"]), runs, lag=_lag(facts, config))
    rows = rows_of_clips(bold, volumes, average=config.average_repeats)
    split = np.where((volumes >= 0).any(axis=1), facts["split"], DROPPED)
    return split, *standardise(rows, split, own_test=config.normalise == "test_stats")


def _lag(facts: Mapping[str, Any], config: VoxelsConfig) -> int:
    return int(facts["lag_tr"]) if config.lag_tr is None else config.lag_tr


def detrend(bold: Floats, runs: Sequence[tuple[int, int]], *, tr: float) -> Floats:
    """Return BOLD [T,V] after subtracting a polynomial from each run (first and end volume).

    The degree of the polynomial is 1 + duration / 150 s.
    """
    result = bold.copy()
    for start, end in runs:
        degree = min(1 + int((end - start) * tr / 150.0), end - start - 1)
        basis = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, end - start), degree)
        basis = np.linalg.qr(basis)[0].astype(np.float32)
        result[start:end] -= basis @ (basis.T @ bold[start:end])
    return result


def answering(onsets: Integers, runs: Sequence[tuple[int, int]], *, lag: int) -> Integers:
    """Return the volume of each presentation, [N, repeats]; -1 if its run ended before, or if it was not shown."""
    ends = np.array([end for _, end in runs])
    end = ends[np.searchsorted(ends, onsets, side="right").clip(max=len(ends) - 1)]
    return np.where((onsets >= 0) & (onsets + lag < end), onsets + lag, -1)


def rows_of_clips(bold: Floats, volumes: Integers, *, average: bool) -> NDArray[np.float64]:
    """Return each clip's row [N,V]: the mean over its presentations, or the first one; zeros if there is none."""
    valid = volumes >= 0
    if not average:
        valid &= np.cumsum(valid, axis=1) == 1
    rows = np.zeros((len(volumes), bold.shape[1]))
    for repeat in range(volumes.shape[1]):
        shown = valid[:, repeat]
        rows[shown] += bold[volumes[shown, repeat]]
    rows /= np.maximum(valid.sum(axis=1, keepdims=True), 1)
    return rows


def standardise(rows: NDArray[np.float64], split: Texts, *, own_test: bool) -> tuple[Floats, dict[str, Any]]:
    """Standardise rows [N,V] by the mean and standard deviation of the training rows.

    Test rows are standardised by their own if `own_test`.

    Returns:
        The rows without voxels that are constant in training, and `mean`, `std` and `voxel` of the remaining voxels.
    """
    _require_finite(rows)
    train, test = split == "train", split == "test"
    if not train.any():
        raise DatasetError("no training clip has a BOLD volume; voxels.lag_tr must be shorter than the runs")
    mean, std = rows[train].mean(axis=0), rows[train].std(axis=0)
    voxel = np.nonzero(std > _FLAT * np.abs(rows[train]).max(axis=0))[0]
    if len(voxel) == 0:
        raise DatasetError("every voxel is constant over the training clips; check that the BOLD data is not empty")
    mean, std, rows = mean[voxel], std[voxel], rows[:, voxel]
    scaled = (rows - mean) / std
    if own_test:
        if test.sum() < 2:
            raise DatasetError(
                f"voxels.normalise: test_stats needs at least two test clips, but there are {test.sum()}"
            )
        own = rows[test].std(axis=0)
        scaled[test] = (rows[test] - rows[test].mean(axis=0)) / np.where(own > 0, own, 1.0)
    scaled[split == DROPPED] = 0.0
    arrays = {"mean": mean.astype(np.float32), "std": std.astype(np.float32), "voxel": voxel.astype(np.int32)}
    return scaled.astype(np.float32), arrays


def _require_finite(rows: NDArray[np.float64]) -> None:
    invalid = np.argwhere(~np.isfinite(rows))
    if len(invalid):
        row, voxel = invalid[0].tolist()
        raise DatasetError(
            f"fMRI: {len(invalid)} value(s) are NaN or infinite, first for clip {row} in voxel {voxel}; "
            "all must be finite"
        )


def _subject(data: Artifacts, facts: Mapping[str, Any], subject: int) -> tuple[Floats, NDArray[np.int16]]:
    """Read the BOLD [T,V] and ROI indices [V] of one subject only."""
    names = facts["subjects"]
    if subject >= len(names):
        raise DatasetError(
            f"voxels.subject is {subject}, but the data set has {len(names)} subject(s), counted from 0: {names}"
        )
    with safe_open(data.path("bold.safetensors"), framework="numpy") as file:
        return file.get_tensor(f"bold_{subject}"), file.get_tensor(f"roi_{subject}")
