"""What stages read that are trained on frames alone: the clips of each split, whatever the brain."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.context import StageTask
from trainables.stages.decoding import TrainedOn
from trainables.system_videos import read_clips

Frames = NDArray[np.uint8]
SPLITS = ("train", "validation", "test")


def clips_of_splits(task: StageTask, *, trained_on: TrainedOn = "train") -> dict[str, NDArray[np.int64]]:
    """Return the numbers of the clips of each split, of all subjects. The stage needs the input `data`.

    With `trained_on` "train_and_validation" the validation clips follow in `train`.

    Raises:
        ValueError: A split has no clips.
    """
    split = np.array(task.inputs["data"].json("data.json")["split"])
    members = {name: np.flatnonzero(split == name) for name in SPLITS}
    for name, index in members.items():
        if len(index) == 0:
            raise ValueError(f"the data set has no clips of {name}; each split needs one")
    if trained_on == "train_and_validation":
        members["train"] = np.concatenate((members["train"], members["validation"]))
    return members


class NetworkFrames:
    """Frames of the clips as the network of the stage `layers` takes them, and back."""

    def __init__(self, task: StageTask, facts: Mapping[str, Any]) -> None:
        """`facts` is what `layers` wrote. The stage needs the input `clips`."""
        self._clips, self._side = read_clips(task), int(facts["side"])
        self._mean, self._std = (torch.tensor(facts[name]).view(3, 1, 1) for name in ("mean", "std"))

    def standardised(self, index: Tensor, *, mean: bool) -> Tensor:
        """Return the middle frame of each clip, or the mean of all, standardised, [n,3,R,R]."""
        frames = np.empty((len(index), self._side, self._side, 3), dtype=np.float32)
        for row, clip in enumerate(index.tolist()):
            video = np.asarray(self._clips[clip : clip + 1][0])
            frame = video.mean(axis=0) if mean else video[len(video) // 2].astype(np.float64)
            frames[row] = resized(frame.astype(np.float32), (self._side, self._side))
        return (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - self._mean) / self._std

    def in_range(self, standardised: Tensor) -> Tensor:
        """Return standardised frames [n,3,R,R] as pixels in [0, 1]."""
        return (standardised * self._std + self._mean).clamp(0.0, 1.0)

    def frames(self, standardised: Tensor) -> Frames:
        """Return frames in the size of the clips, uint8 [n,1,H,W,3]."""
        values = ((standardised * self._std + self._mean) * 255).permute(0, 2, 3, 1).numpy()
        size = self._clips.shape[2:4]
        sized = np.stack([resized(frame, size) for frame in values])
        return np.asarray(sized.round().clip(0, 255), dtype=np.uint8)[:, None]


def resized(frame: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a frame [h,w,3] of this height and width; itself if it has it."""
    height, width = size
    if frame.shape[:2] == (height, width):
        return frame
    method = cv2.INTER_AREA if height <= frame.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (width, height), interpolation=method), dtype=np.float32)
