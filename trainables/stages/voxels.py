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
from trainables.datasets.clip_rows import detrend, rows_of_clips
from trainables.datasets.errors import ROWS_HAVE_NO_LAG, ROWS_HAVE_NO_WINDOW, DatasetError
from trainables.datasets.prepared.read import ArrayFile, array_file
from trainables.datasets.prepared.tables import VoxelTable, read_voxels
from trainables.datasets.presentations import DROPPED, WITHHELD, answering, runs_of
from trainables.datasets.windows import volumes_of_split, windows_of
from trainables.stages.other_subjects import TRAINED_ON, other_file
from trainables.stages.scaling import Scale, fit_scale, require_finite
from trainables.tensors import TensorShape, TensorWriter, map_tensors

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Texts = NDArray[np.str_]

BUDGET = 1 << 28
"""Bytes that a block of voxels takes: with longer series blocks have fewer voxels."""
_BYTES_PER_VOLUME, _BYTES_PER_CLIP = 8, 28
"""What a voxel takes: its series in float32 twice, its rows in float64 and float32."""


def run(task: StageTask) -> StageResult:
    """Write `voxels.safetensors` and `voxels.json`.

    safetensors: `fmri` float32 [N,V], row i belongs to clip i; `mean` and `std` [V] of the training rows; `roi` int16
    [V]; `voxel` int32 [V], the voxel's column in the data stage's `bold_<s>`. With a window of W volumes also
    `following` float32 [N,W-1,V], the volumes after those of `fmri`, on the same scale. json: split, roi_names,
    subject, lag_tr, dropped (clips without a volume) and constant (voxels that were left out since they do not vary).
    The rows of each other subject s that is trained on are in `other_<s>.safetensors`, likewise, and `others` of the
    json has the same facts of each. Rows of clips that are dropped or withheld (`voxels.own_clips`) are zeros.

    Raises:
        DatasetError: A subject does not exist or has fewer clips than are to be used, a value is not finite, no
            training clip or voxel is left, or fMRI with one row per presentation is to be lagged or to have a window.
    """
    config = task.config.voxels
    described = _standardised(task, config, file="voxels.safetensors")
    others = {
        str(number): _standardised(task, of_subject(config, number), file=other_file(number))
        for number in config.others
    }
    kept = described.pop("voxels")
    written = {**described, **({"others": others} if others else {})}
    (task.context.output / "voxels.json").write_text(json.dumps(written))
    counts = {name: str(len(described[name])) for name in ("constant", "dropped")}
    window = {"window": str(config.window)} if config.window > 1 else {}
    return StageResult(info={"voxels": str(kept), **window, **counts, **_trained_on(config, described, others)})


def of_subject(config: VoxelsConfig, number: int) -> VoxelsConfig:
    """Return how the rows of subject `number` are standardised: as those of `config.subject`, of all its clips."""
    if number == config.subject:
        return config
    return config.model_copy(update={"subject": number, "subjects": (), "own_clips": None, "window": 1})


def _trained_on(
    config: VoxelsConfig, own: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Return the facts on clips and subjects that are trained on, if they are not all clips of one subject."""
    if config.own_clips is None and not others:
        return {}
    of_all = {facts["subject"]: facts["split"].count("train") for facts in (own, *others.values())}
    return {TRAINED_ON: ", ".join(f"{count} clips of {name}" for name, count in of_all.items())}


def _standardised(task: StageTask, config: VoxelsConfig, *, file: str) -> dict[str, Any]:
    """Write the rows of one subject to `file`; return what `voxels.json` says of them, and the number of `voxels`."""
    data = task.inputs["data"]
    facts = data.json("data.json")
    number = _subject(facts, config)
    bold = data.path(f"bold_{number}.safetensors")
    answers = answers_of(facts, config, volumes=len(map_tensors(bold)["bold"]))
    table = read_voxels(data.path(f"voxel_table_{number}.parquet"))
    roi, wanted = roi_numbers(table, facts["roi_names"]), wanted_voxels(table, config.top)
    kept = _write(bold, answers, roi, wanted, task.context.output / file)
    return {
        "split": answers.split.tolist(),
        "roi_names": facts["roi_names"],
        "subject": facts["subjects"][number]["name"],
        "lag_tr": answers.lag,
        "dropped": np.nonzero(answers.split == DROPPED)[0].tolist(),
        "constant": np.setdiff1d(np.flatnonzero(wanted), kept).tolist(),
        "voxels": len(kept),
    }


@dataclass(frozen=True)
class Answers:
    """Which volumes answer which clips, and what is done to them."""

    volumes: Doubles
    """[N, repeats]; -1 for none; a fraction lies between two volumes."""
    windows: Doubles
    """[N, repeats, W]: `volumes`, and those that follow."""
    split: Texts
    """Of each clip; `DROPPED` where no volume answers it, `WITHHELD` where its fMRI is not used: rows of zeros."""
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
    left_out: NDArray[np.bool_] | None = None
    """Which volumes a clip that is withheld drives and no row of another clip reads, [T]; None if none is withheld."""

    def series(self, bold: Floats) -> Floats:
        """Return the volumes [T,v] of some voxels, after drift was removed where it is to be."""
        return detrend(bold, self.runs, tr=self.tr, left_out=self.left_out) if self.detrended else bold

    def rows(self, series: Floats) -> list[Doubles]:
        """Return each clip's rows [N,v] of some voxels, of their `series` [T,v]: one of each place in the window."""
        places = range(self.windows.shape[-1])
        return [rows_of_clips(series, self.windows[..., place], average=self.average) for place in places]

    def scale(self, rows: Doubles, *, first: int = 0) -> Scale:
        """Return the scale of rows [N,v]; `first` is the number of the first voxel."""
        return fit_scale(rows, self.split, own_test=self.own_test, with_validation=self.with_validation, first=first)


def answers_of(facts: Mapping[str, Any], config: VoxelsConfig, *, volumes: int) -> Answers:
    """Return which volumes of a subject answer which clips.

    Args:
        facts: The data stage's `data.json`.
        config: The subject, and how volumes are selected and scaled.
        volumes: How many the subject has.

    Raises:
        DatasetError: fMRI with one row per presentation is to be lagged or to have a window, or the subject has fewer
            training clips than are to be used.
    """
    if facts["kind"] == "rows" and config.window > 1:
        raise DatasetError(f"voxels.window is {config.window}; {ROWS_HAVE_NO_WINDOW}")
    subject = facts["subjects"][config.subject]
    lag, runs = _lag(facts, config), runs_of(subject["runs"], volumes=volumes)
    onsets = np.array(subject["onsets"], np.float64)
    answering_volumes = answering(onsets, runs, lag=lag)
    split: Texts = np.where((answering_volumes >= 0).any(axis=1), facts["split"], DROPPED)
    if config.own_clips is not None:
        split = _with_own_clips(split, config.own_clips, name=subject["name"])
        facts = {**facts, "split": split.tolist()}
    windows = _windows(facts, answering_volumes, runs, window=config.window)
    withheld = split == WITHHELD
    of_used = volumes_of_split(onsets, answering_volumes, runs, ~withheld, count=volumes)
    left_out = ~(of_used | _read(windows[~withheld], volumes))
    return Answers(
        volumes=answering_volumes,
        windows=windows,
        split=split,
        runs=runs,
        lag=lag,
        tr=facts["tr"],
        detrended=config.detrend and facts["kind"] == "series",
        average=config.average_repeats,
        own_test=config.normalise == "test_stats",
        with_validation=config.fitted_on == "train_and_validation",
        left_out=left_out if withheld.any() else None,
    )


def _with_own_clips(split: Texts, count: int, *, name: str) -> Texts:
    """Return `split` with all training clips but the first `count` as `WITHHELD`."""
    train = np.flatnonzero(split == "train")
    if len(train) < count:
        raise DatasetError(
            f"voxels.own_clips is {count}, but {len(train)} training clips of subject {name} have a volume; it must be "
            f"at most {len(train)}"
        )
    result = split.astype(object)
    result[train[count:]] = WITHHELD
    return result.astype(np.str_)


def _read(volumes: Doubles, count: int) -> NDArray[np.bool_]:
    """Return which of `count` volumes are read for rows at `volumes`, of which -1 stands for none, [count]."""
    read = volumes[volumes >= 0]
    result = np.zeros(count, np.bool_)
    result[np.floor(read).astype(np.int64)] = True
    result[np.ceil(read).astype(np.int64)] = True
    return result


def _lag(facts: Mapping[str, Any], config: VoxelsConfig) -> int:
    lag = int(facts["lag_tr"]) if config.lag_tr is None else config.lag_tr
    if facts["kind"] == "rows" and lag != 0:
        raise DatasetError(f"voxels.lag_tr is {lag}; {ROWS_HAVE_NO_LAG}")
    return lag


def _windows(facts: Mapping[str, Any], volumes: Doubles, runs: Sequence[tuple[int, int]], *, window: int) -> Doubles:
    if window == 1:
        return volumes[..., None]
    return windows_of(volumes, runs, groups_of(facts), window=window)


def groups_of(facts: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return a number for each clip, the same for clips of one block and split. `facts`: the stage's `data.json`."""
    groups = [*zip(facts["split"], facts["block"], strict=True)]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups])


def wanted_voxels(table: VoxelTable, top: int | None) -> NDArray[np.bool_]:
    """Return which voxels are to be kept, [V]: all, or the `top` most repeatable; of equal ones the first.

    Raises:
        DatasetError: The repeatability is unknown, or known for fewer voxels.
    """
    if top is None:
        return np.ones(len(table), np.bool_)
    if table.repeat_r is None:
        right = "leave it out: the data set does not say how well voxels repeat, which takes training clips shown twice"
        raise DatasetError(f"voxels.top is {top}; {right}")
    known = np.flatnonzero(np.isfinite(table.repeat_r))
    if len(known) < top:
        raise DatasetError(f"voxels.top is {top}, but of only {len(known)} voxels is known how well they repeat")
    wanted = np.zeros(len(table), np.bool_)
    wanted[known[np.argsort(-table.repeat_r[known], kind="stable")[:top]]] = True
    return wanted


def _write(
    bold: Path, answers: Answers, roi: NDArray[np.int16], wanted: NDArray[np.bool_], path: Path
) -> NDArray[np.int32]:
    """Write `voxels.safetensors` of the wanted voxels, some at a time; return the columns that were kept."""
    with TemporaryDirectory(dir=path.parent) as folder:
        arrays: dict[str, list[Any]] = {"mean": [], "std": [], "voxel": []}
        blocks: dict[str, list[ArrayFile]] = {"fmri": [], "following": []}
        for number, (first, rows) in enumerate(_blocks(bold, answers)):
            scale = answers.scale(rows[0], first=first)
            for of_place in rows[1:]:
                require_finite(of_place, first)
            own, *following = (scale.apply(of_place) for of_place in rows)
            parts = {"fmri": own, **({"following": np.stack(following, axis=1)} if following else {})}
            chosen = wanted[scale.arrays["voxel"]]
            for name, values in parts.items():
                file = Path(folder) / f"{name}_{number}.npy"
                np.save(file, np.ascontiguousarray(values[..., chosen]))
                blocks[name].append(array_file(file))
            for name, values in scale.arrays.items():
                arrays[name].append(values[chosen])
        if not any(map(len, arrays["voxel"])):
            raise DatasetError("every voxel is constant over the training clips; check that the BOLD data is not empty")
        joined = {name: np.concatenate(values) for name, values in arrays.items()}
        kept: NDArray[np.int32] = joined["voxel"]
        _join(blocks, {**joined, "roi": roi[kept]}, path)
    return kept


def _blocks(bold: Path, answers: Answers) -> Iterator[tuple[int, list[Doubles]]]:
    """Yield the number of the first voxel of each block, and the clips' rows of its voxels as `Answers.rows`."""
    volumes, voxels = map_tensors(bold)["bold"].shape
    clips, _, window = answers.windows.shape
    step = max(1, BUDGET // (_BYTES_PER_VOLUME * volumes + _BYTES_PER_CLIP * clips * window))
    for first in range(0, voxels, step):
        # Mapped anew for each block: pages of a mapping stay in memory, in the end the whole file.
        of_block = np.ascontiguousarray(map_tensors(bold)["bold"][:, first : first + step])
        yield first, answers.rows(answers.series(of_block))


def _join(blocks: Mapping[str, Sequence[ArrayFile]], arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write blocks of voxels side by side, some clips at a time, and `arrays`."""
    clips, voxels = len(blocks["fmri"][0]), len(arrays["voxel"])
    given = {name: parts for name, parts in blocks.items() if parts}
    shapes = {name: TensorShape(values.dtype, values.shape) for name, values in arrays.items()}
    for name, parts in given.items():
        shapes[name] = TensorShape("float32", (clips, *parts[0].shape[1:-1], voxels))
    step = max(1, BUDGET // (8 * voxels))
    with TensorWriter(path, shapes) as file:
        for name, values in arrays.items():
            file.write_whole(name, values)
        for name, parts in given.items():
            for first in range(0, clips, step):
                file.write(name, first, np.concatenate([part[first : first + step] for part in parts], axis=-1))


def _subject(facts: Mapping[str, Any], config: VoxelsConfig) -> int:
    """Return the number of the subject. Raises `DatasetError` if there is no such subject."""
    names = [subject["name"] for subject in facts["subjects"]]
    if config.subject >= len(names):
        raise DatasetError(
            f"voxels.subject is {config.subject}, but the data set has {len(names)} subject(s), counted from 0: {names}"
        )
    return config.subject
