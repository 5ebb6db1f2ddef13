"""What the stages that make the videos of systems read and write: fMRI and true clips in, videos out. No torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.context import StageTask
from trainables.datasets.base import ClipSequence
from trainables.datasets.stored_clips import read_stimuli
from trainables.tensors import TensorShape, TensorWriter, map_tensors


def read_clips(task: StageTask) -> ClipSequence:
    """Return the clips of the data set, uint8 [N,F,H,W,3]; a slice of them is read when it is asked for.

    The stage needs the input `clips`.
    """
    return read_stimuli(task.inputs, task.config.dataset).clips


def fmri_rows(task: StageTask) -> NDArray[np.float32]:
    """Return the standardised fMRI, float32 [N,voxels], row i for clip i. The stage needs the input `voxels`."""
    rows: NDArray[np.float32] = map_tensors(task.inputs["voxels"].path("voxels.safetensors"))["fmri"]
    return rows


def clips_of(task: StageTask, *names: str) -> NDArray[np.int64]:
    """Return the numbers of the clips of the splits `names` (train, validation, test). It needs the input `voxels`.

    Raises:
        ValueError: These splits have no clips.
    """
    split = task.inputs["voxels"].json("voxels.json")["split"]
    index = np.array([clip for clip, member in enumerate(split) if member in names], dtype=np.int64)
    if len(index) == 0:
        raise ValueError(f"the data set has no clips of {' and '.join(names)}")
    return index


def write_videos(
    task: StageTask,
    videos: NDArray[np.uint8],
    index: Sequence[int] | NDArray[np.int64],
    *,
    ceiling: NDArray[np.uint8] | None = None,
) -> None:
    """Write `videos.safetensors`: what a stage that makes the videos of a system must leave.

    Args:
        task: The argument of the stage's function.
        videos: uint8 [n,F,H,W,3]. They are resized to the clips when they are judged. A system of still pictures writes
            one frame: it is held, and metrics that look at several frames together are None.
        index: The number of each clip in the data set: all clips of the validation and test splits.
        ceiling: The same, made of the clips' true features: the noise ceiling of the system. None: that of our
            generator stands for it.

    Raises:
        ValueError: The videos have another type or shape.
    """
    tensors = {"videos": videos, **({} if ceiling is None else {"ceiling": ceiling})}
    for name, values in tensors.items():
        if values.dtype != np.uint8 or values.ndim != 5 or values.shape[-1] != 3 or len(values) != len(index):
            raise ValueError(
                f"{name} are {values.dtype} {list(values.shape)}; they must be uint8 [{len(index)},F,H,W,3]"
            )
    shapes = {name: TensorShape("uint8", values.shape) for name, values in tensors.items()}
    shapes["index"] = TensorShape("int64", (len(index),))
    with TensorWriter(task.context.output / "videos.safetensors", shapes) as file:
        file.write_whole("index", np.asarray(index, dtype=np.int64))
        for name, values in tensors.items():
            file.write(name, 0, values)
