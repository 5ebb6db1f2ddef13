"""The voxels stage: pairs clips with BOLD volumes, removes drift, and standardises the voxels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.config.data import VoxelsConfig
from trainables.context import StageResult, StageTask
from trainables.datasets.base import roi_numbers
from trainables.datasets.errors import ROWS_HAVE_NO_LAG, DatasetError
from trainables.datasets.prepared.read import ArrayFile, array_file
from trainables.datasets.prepared.tables import read_voxels
from trainables.datasets.presentations import DROPPED, answering, runs_of
from trainables.tensors import TensorShape, TensorWriter, map_tensors

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Texts = NDArray[np.str_]

_FLAT = 1e-6
"""A voxel whose standard deviation is below this fraction of its largest value is constant up to rounding."""
BUDGET = 1 << 28
"""Bytes that a block of voxels takes: with longer series blocks have fewer voxels."""
_BYTES_PER_VOLUME, _BYTES_PER_CLIP = 8, 28
"""What a voxel takes: its series in float32 twice, its rows in float64 and float32."""


def run(task: StageTask) -> StageResult:
    """Write `voxels.safetensors` and `voxels.json`.

    safetensors: `fmri` float32 [N,V], row i belongs to clip i; `mean` and `std` [V] of the training rows; `roi` int16
    [V]; `voxel` int32 [V], the voxel's column in the data stage's `bold_<s>`. json: split, roi_names, subject, lag_tr,
    dropped (clips without a volume) and constant (voxels that were left out).

    Raises:
        DatasetError: The subject does not exist, a value is not finite, no training clip or voxel is left, or fMRI with
            one row per presentation is to be lagged.
    """
    config, data = task.config.voxels, task.inputs["data"]
    facts = data.json("data.json")
    number = _subject(facts, config)
    bold = data.path(f"bold_{number}.safetensors")
    answers = answers_of(facts, config, volumes=len(map_tensors(bold)["bold"]))
    roi = roi_numbers(read_voxels(data.path(f"voxel_table_{number}.parquet")), facts["roi_names"])
    kept = _write(bold, answers, roi, task.context.output / "voxels.safetensors")
    described = {
        "split": answers.split.tolist(),
        "roi_names": facts["roi_names"],
        "subject": facts["subjects"][number]["name"],
        "lag_tr": answers.lag,
        "dropped": np.nonzero(answers.split == DROPPED)[0].tolist(),
        "constant": np.setdiff1d(np.arange(len(roi)), kept).tolist(),
    }
    (task.context.output / "voxels.json").write_text(json.dumps(described))
    counts = {name: str(len(described[name])) for name in ("constant", "dropped")}
    return StageResult(info={"voxels": str(len(kept)), **counts})


@dataclass(frozen=True)
class Answers:
    """Which volumes answer which clips, and what is done to them."""

    volumes: Doubles
    """[N, repeats]; -1 for none; a fraction lies between two volumes."""
    split: Texts
    """Of each clip; `DROPPED` where no volume answers it, whose row is zeros."""
    runs: tuple[tuple[int, int], ...]
    """First and end volume of each run."""
    lag: int
    tr: float
    detrended: bool
    average: bool
    own_test: bool
    """Whether test rows are standardised by themselves."""
    with_validation: bool
    """Whether mean and standard deviation are those of training and validation rows."""

    def rows(self, bold: Floats) -> Doubles:
        """Return each clip's row of some voxels, [N,v], of their volumes [T,v]."""
        bold = detrend(bold, self.runs, tr=self.tr) if self.detrended else bold
        return rows_of_clips(bold, self.volumes, average=self.average)


def answers_of(facts: Mapping[str, Any], config: VoxelsConfig, *, volumes: int) -> Answers:
    """Return which volumes of a subject answer which clips.

    Args:
        facts: The data stage's `data.json`.
        config: The subject, and how volumes are selected and scaled.
        volumes: How many the subject has.

    Raises:
        DatasetError: fMRI with one row per presentation is to be lagged.
    """
    subject = facts["subjects"][config.subject]
    lag, runs = _lag(facts, config), runs_of(subject["runs"], volumes=volumes)
    answering_volumes = answering(np.array(subject["onsets"], np.float64), runs, lag=lag)
    return Answers(
        volumes=answering_volumes,
        split=np.where((answering_volumes >= 0).any(axis=1), facts["split"], DROPPED),
        runs=runs,
        lag=lag,
        tr=facts["tr"],
        detrended=config.detrend and facts["kind"] == "series",
        average=config.average_repeats,
        own_test=config.normalise == "test_stats",
        with_validation=config.fitted_on == "train_and_validation",
    )


def _lag(facts: Mapping[str, Any], config: VoxelsConfig) -> int:
    lag = int(facts["lag_tr"]) if config.lag_tr is None else config.lag_tr
    if facts["kind"] == "rows" and lag != 0:
        raise DatasetError(f"voxels.lag_tr is {lag}; {ROWS_HAVE_NO_LAG}")
    return lag


def _write(bold: Path, answers: Answers, roi: NDArray[np.int16], path: Path) -> NDArray[np.int32]:
    """Write `voxels.safetensors`, some voxels at a time; return the columns that were kept."""
    with TemporaryDirectory(dir=path.parent) as folder:
        arrays: dict[str, list[Any]] = {"mean": [], "std": [], "voxel": []}
        blocks = []
        for number, (first, rows) in enumerate(_blocks(bold, answers)):
            scaled, of_block = standardise(
                rows,
                answers.split,
                own_test=answers.own_test,
                with_validation=answers.with_validation,
                first=first,
            )
            np.save(Path(folder) / f"{number}.npy", np.ascontiguousarray(scaled))
            blocks.append(array_file(Path(folder) / f"{number}.npy"))
            for name, values in of_block.items():
                arrays[name].append(values)
        joined = {name: np.concatenate(values) for name, values in arrays.items()}
        kept: NDArray[np.int32] = joined["voxel"]
        if len(kept) == 0:
            raise DatasetError("every voxel is constant over the training clips; check that the BOLD data is not empty")
        _join(blocks, {**joined, "roi": roi[kept]}, path)
    return kept


def _blocks(bold: Path, answers: Answers) -> Iterator[tuple[int, Doubles]]:
    """Yield the number of the first voxel of each block, and the clips' rows of its voxels."""
    volumes, voxels = map_tensors(bold)["bold"].shape
    step = max(1, BUDGET // (_BYTES_PER_VOLUME * volumes + _BYTES_PER_CLIP * len(answers.volumes)))
    for first in range(0, voxels, step):
        # Mapped anew for each block: pages of a mapping stay in memory, in the end the whole file.
        yield first, answers.rows(np.ascontiguousarray(map_tensors(bold)["bold"][:, first : first + step]))


def _join(blocks: Sequence[ArrayFile], arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write blocks of voxels side by side as `fmri`, some clips at a time, and `arrays`."""
    clips, voxels = len(blocks[0]), len(arrays["voxel"])
    shapes = {name: TensorShape(values.dtype, values.shape) for name, values in arrays.items()}
    step = max(1, BUDGET // (8 * voxels))
    with TensorWriter(path, {"fmri": TensorShape("float32", (clips, voxels)), **shapes}) as file:
        for name, values in arrays.items():
            file.write_whole(name, values)
        for first in range(0, clips, step):
            file.write("fmri", first, np.concatenate([block[first : first + step] for block in blocks], axis=1))


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


def rows_of_clips(bold: Floats, volumes: Doubles, *, average: bool) -> Doubles:
    """Return each clip's row [N,V]: the mean over its presentations, or the first one; zeros if there is none.

    Between two volumes, values are interpolated.
    """
    valid = volumes >= 0
    if not average:
        valid &= np.cumsum(valid, axis=1) == 1
    rows = np.zeros((len(volumes), bold.shape[1]))
    for repeat in range(volumes.shape[1]):
        shown = valid[:, repeat]
        rows[shown] += _at(bold, volumes[shown, repeat])
    rows /= np.maximum(valid.sum(axis=1, keepdims=True), 1)
    return rows


def _at(bold: Floats, times: Doubles) -> NDArray[Any]:
    """Return BOLD [T,V] at `times` in volumes, [n,V]."""
    before = np.floor(times).astype(np.int64)
    part = (times - before)[:, None]
    if not part.any():
        return bold[before]
    return np.asarray((1 - part) * bold[before] + part * bold[np.ceil(times).astype(np.int64)])


def standardise(
    rows: Doubles, split: Texts, *, own_test: bool, with_validation: bool = False, first: int = 0
) -> tuple[Floats, dict[str, NDArray[Any]]]:
    """Standardise rows [N,V] by the mean and standard deviation of the training rows.

    With `with_validation`, validation rows count for both. Test rows are standardised by their own if `own_test`.
    `first` is the number of the first voxel.

    Returns:
        The rows without voxels that are constant in training, and `mean`, `std` and `voxel` of the remaining voxels.
    """
    _require_finite(rows, first)
    train, test = split == "train", split == "test"
    if not train.any():
        raise DatasetError("no training clip has a BOLD volume; voxels.lag_tr must be shorter than the runs")
    fitted = train | (split == "validation") if with_validation else train
    mean, std = rows[fitted].mean(axis=0), rows[fitted].std(axis=0)
    varying = np.nonzero(std > _FLAT * np.abs(rows[train]).max(axis=0))[0]
    mean, std, rows = mean[varying], std[varying], rows[:, varying]
    scaled = (rows - mean) / std
    if own_test:
        if test.sum() < 2:
            raise DatasetError(
                f"voxels.normalise: test_stats needs at least two test clips, but there are {test.sum()}"
            )
        own = rows[test].std(axis=0)
        scaled[test] = (rows[test] - rows[test].mean(axis=0)) / np.where(own > 0, own, 1.0)
    scaled[split == DROPPED] = 0.0
    voxel = (varying + first).astype(np.int32)
    return scaled.astype(np.float32), {
        "mean": mean.astype(np.float32),
        "std": std.astype(np.float32),
        "voxel": voxel,
    }


def _require_finite(rows: Doubles, first: int) -> None:
    invalid = np.argwhere(~np.isfinite(rows))
    if len(invalid):
        row, voxel = invalid[0].tolist()
        raise DatasetError(
            f"fMRI: {len(invalid)} value(s) of voxels {first} to {first + rows.shape[1] - 1} are NaN or infinite, "
            f"first for clip {row} in voxel {first + voxel}; all must be finite"
        )


def _subject(facts: Mapping[str, Any], config: VoxelsConfig) -> int:
    """Return the number of the subject. Raises `DatasetError` if there is no such subject."""
    names = [subject["name"] for subject in facts["subjects"]]
    if config.subject >= len(names):
        raise DatasetError(
            f"voxels.subject is {config.subject}, but the data set has {len(names)} subject(s), counted from 0: {names}"
        )
    return config.subject
