"""Volumes of fMRI beyond those that answer clips: all of a split, and the windows of clips."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.context import StageTask
from trainables.datasets.presentations import runs_of
from trainables.datasets.windows import next_clips, volumes_of_split
from trainables.stages.decoding import DECODED_SPLITS, SplitRows, pick, read_tensors
from trainables.stages.voxels import Answers, answers_of, groups_of, of_subject
from trainables.tensors import map_tensors


def read_volumes(task: StageTask, subject: int, *, between: bool) -> dict[str, Tensor]:
    """Return the volumes of each split, float32 [T,V], on the scale of the subject's training rows.

    Args:
        task: A stage with the input `data`. Lag, detrending and scale are those of the section `voxels`.
        subject: The number of the subject.
        between: Whether volumes that answer no clip are among them: all those that only clips of the split have driven.
            fMRI with one row per presentation has none.

    Raises:
        DatasetError: A value is not finite.
        ValueError: A split has no volume.
    """
    facts = task.inputs["data"].json("data.json")
    config = of_subject(task.config.voxels, subject).model_copy(update={"window": 1})
    bold: NDArray[np.float32] = map_tensors(task.inputs["data"].path(f"bold_{subject}.safetensors"))["bold"]
    answers = answers_of(facts, config, volumes=len(bold))
    series = answers.series(np.ascontiguousarray(bold))
    scaled = answers.scale(answers.rows(series)[0]).of_volumes(series)
    onsets = np.array(facts["subjects"][subject]["onsets"], np.float64)
    result = {}
    for name in DECODED_SPLITS:
        member = answers.split == name
        if between and facts["kind"] == "series":
            chosen = np.nonzero(volumes_of_split(onsets, answers.volumes, answers.runs, member, count=len(bold)))[0]
        else:
            chosen = _answering(answers, member)
        if len(chosen) == 0:
            raise ValueError(f"the {name} split has no volume of subject {subject}; each split needs at least one")
        result[name] = torch.from_numpy(scaled[chosen])
    return result


def _answering(answers: Answers, member: NDArray[np.bool_]) -> NDArray[np.int64]:
    volumes = answers.volumes[member]
    return np.unique(np.floor(volumes[volumes >= 0]).astype(np.int64))


def read_windows(task: StageTask, index: Tensor) -> Tensor:
    """Return the volumes of the clips `index`, [n, W, V]: the one that answers each, and those that follow it."""
    path = task.inputs["voxels"].path("voxels.safetensors")
    names = ("fmri", "following") if task.config.voxels.window > 1 else ("fmri",)
    own, *following = (pick(tensor, index) for tensor in read_tensors(path, names).values())
    return torch.cat((own[:, None], *following), dim=1)


def with_windows(task: StageTask, rows: SplitRows) -> SplitRows:
    """Return `rows` whose fMRI is that of windows, [rows, W, V]."""
    return replace(rows, fmri=read_windows(task, rows.index).to(rows.fmri.device))


def following_rows(task: StageTask, rows: SplitRows) -> Tensor:
    """Return for each of `rows` the row of the clip that was shown next in its block and run; -1 for none, int64 [n].

    The stage needs the input `data`.
    """
    facts = task.inputs["data"].json("data.json")
    onsets = np.array(facts["subjects"][task.config.voxels.subject]["onsets"], np.float64)
    bold = map_tensors(task.inputs["data"].path(f"bold_{task.config.voxels.subject}.safetensors"))["bold"]
    runs = runs_of(facts["subjects"][task.config.voxels.subject]["runs"], volumes=len(bold))
    following = torch.from_numpy(next_clips(onsets, runs, groups_of(facts)))
    row_of = torch.full((len(onsets),), -1, dtype=torch.int64)
    row_of[rows.index] = torch.arange(len(rows))
    clips = following[rows.index]
    return torch.where(clips >= 0, row_of[clips.clamp(min=0)], -1)
