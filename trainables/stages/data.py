"""The data stage: clips, captions and BOLD of the data set, simulated or read once and shared by all trials."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from trainables import datasets
from trainables.context import StageResult, StageTask
from trainables.datasets.base import Dataset, roi_numbers

Arrays = dict[str, NDArray[Any]]


def run(task: StageTask) -> StageResult:
    """Write `clips.safetensors`, `bold.safetensors`, `data.json` and, for simulated data, `planted.safetensors`.

    clips: `clips` uint8 [N,F,H,W,3]. bold: for each subject s, `bold_<s>` float32 [T,V] and `roi_<s>` int16 [V].
    planted: `share_<s>` float32 [V, drives], the share of each drive (`data.json`: drives) in the voxel's signal
    variance; `place_<s>` float32 [V,2], the centre of the receptive field (from left and from top, as a fraction of
    the frame's side); `delay_<s>` float32 [V], the haemodynamic delay in seconds.
    """
    data = datasets.load(task.config.dataset)
    folder = task.context.output
    _save({"clips": data.stimuli.clips[:]}, folder / "clips.safetensors")
    bold: Arrays = {}
    planted: Arrays = {}
    for index, subject in enumerate(data.brains.subjects):
        bold |= {f"bold_{index}": subject.bold[:], f"roi_{index}": roi_numbers(subject.voxels, data.brains.roi_names)}
        planted |= {f"{name}_{index}": values for name, values in subject.planted.items()}
    _save(bold, folder / "bold.safetensors")
    if planted:
        _save(planted, folder / "planted.safetensors")
    (folder / "data.json").write_text(json.dumps(data_description(data)))
    return StageResult(info={"clips": str(len(data.stimuli.clips)), "warnings": "\n".join(_warnings(data))})


def _save(arrays: Arrays, path: Path) -> None:
    # safetensors writes the memory buffer and ignores strides
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, path)


def data_description(data: Dataset) -> dict[str, Any]:
    """Return the content of `data.json`."""
    stimuli, brains = data.stimuli, data.brains
    first = brains.subjects[0]
    return {
        "captions": stimuli.first_captions,
        "source": list(stimuli.source),
        "split": list(brains.split),
        "block": list(brains.block),
        "warnings": _warnings(data),
        "clip_volume": first.onsets.tolist(),
        "run_volume": None if first.runs is None else first.runs.tolist(),
        "lag_tr": brains.lag_tr,
        "tr": brains.tr,
        "roi_names": list(brains.roi_names),
        "subjects": [subject.name for subject in brains.subjects],
        "drives": list(brains.drives),
        "factors": None if stimuli.factors is None else dict(stimuli.factors),
    }


def _warnings(data: Dataset) -> list[str]:
    return [*data.stimuli.warnings, *data.brains.warnings]
