"""The data stage: fMRI, its voxels and the split of the data set, simulated or read once and shared by all trials."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from trainables import datasets
from trainables.context import StageResult, StageTask
from trainables.datasets.base import BrainData, Subject, VolumeSequence
from trainables.datasets.prepared.tables import write_voxels
from trainables.datasets.stored_clips import read_stimuli
from trainables.tensors import TensorShape, TensorWriter

_BLOCK = 1 << 26
"""Bytes of fMRI that are written at a time."""


def run(task: StageTask) -> StageResult:
    """Write for each subject s `bold_<s>.safetensors`, `voxel_table_<s>.parquet` and, if simulated, `planted_<s>...`.

    bold: `bold` float32 [T,V], volumes of all runs or one row per presentation. voxel_table: a row per voxel, as in the
    prepared format. planted: `share` float32 [V, drives], the share of each drive (`data.json`: drives) in the voxel's
    signal variance; `place` float32 [V,2], the centre of the receptive field (from left and from top, as a fraction of
    the frame's side); `delay` float32 [V], the haemodynamic delay in seconds. `data.json`: see `brain_facts`.

    Raises:
        DatasetError: The fMRI or the split cannot be used; the message lists all that is wrong.
    """
    stimuli = read_stimuli(task.inputs, task.config.dataset)
    brains = datasets.load_brains(task.config.dataset, stimuli)
    for index, subject in enumerate(brains.subjects):
        _write_subject(subject, index, task.context.output)
    described = json.dumps(brain_facts(brains))
    (task.context.output / "data.json").write_text(described, encoding="utf-8")
    return StageResult(info={"subjects": str(len(brains.subjects)), "warnings": "\n".join(brains.warnings)})


def _write_subject(subject: Subject, index: int, folder: Path) -> None:
    _write_bold(subject.bold, folder / f"bold_{index}.safetensors")
    write_voxels(subject.voxels, folder / f"voxel_table_{index}.parquet")
    if subject.planted:
        # safetensors writes the memory buffer and ignores strides
        planted = {name: np.ascontiguousarray(values) for name, values in subject.planted.items()}
        save_file(planted, folder / f"planted_{index}.safetensors")


def _write_bold(bold: VolumeSequence, path: Path) -> None:
    step = max(1, _BLOCK // (4 * prod(bold.shape[1:])))
    with TensorWriter(path, {"bold": TensorShape("float32", bold.shape)}) as file:
        for first in range(0, len(bold), step):
            file.write("bold", first, np.asarray(bold[first : first + step], np.float32))


def brain_facts(brains: BrainData) -> dict[str, Any]:
    """Return the content of `data.json`.

    kind is `series` or `rows`; each subject has `onsets` [N, repeats], the volume or row of each clip (-1 for none),
    and `runs`, the first volume of each run.
    """
    return {
        "kind": brains.kind,
        "split": list(brains.split),
        "block": list(brains.block),
        "cluster": list(brains.cluster),
        "warnings": list(brains.warnings),
        "lag_tr": brains.lag_tr,
        "tr": brains.tr,
        "roi_names": list(brains.roi_names),
        "drives": list(brains.drives),
        "subjects": [
            {
                "name": subject.name,
                "onsets": subject.onsets.tolist(),
                "runs": None if subject.runs is None else subject.runs.tolist(),
            }
            for subject in brains.subjects
        ],
        **({"space": brains.space} if brains.space else {}),
    }
