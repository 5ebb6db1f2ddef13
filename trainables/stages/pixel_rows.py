"""Clips and fMRI of each split, for decoders that are trained on pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.context import StageTask
from trainables.datasets.base import ClipSequence
from trainables.datasets.video_io import resample
from trainables.stages.decoding import TrainedOn
from trainables.system_videos import clips_of, fmri_rows, read_clips

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PixelRows:
    """The clips of one split, one row each."""

    index: NDArray[np.int64]
    """Numbers in the data set."""
    fmri: Tensor
    """[rows, voxels], on the device."""
    clips: NDArray[np.uint8]
    """[rows,F,H,W,3], in the computer's memory."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def frames(self) -> int:
        """The number of frames of each clip."""
        return int(self.clips.shape[1])

    def frames_of(self, rows: Tensor) -> Tensor:
        """Return the frames of `rows`, float [rows,F,3,H,W] in [0, 1], on the device."""
        return as_frames(self.clips[rows.cpu().numpy()], self.fmri.device)


def as_frames(clips: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return clips, uint8 [n,F,H,W,3], as float [n,F,3,H,W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(clips)).to(device).permute(0, 1, 4, 2, 3).float() / 255.0


def as_clips(frames: Tensor) -> NDArray[np.uint8]:
    """Return frames, float [n,F,3,H,W] in [0, 1], as clips, uint8 [n,F,H,W,3]."""
    rounded = (frames.clamp(0.0, 1.0) * 255.0).round().byte()
    return np.ascontiguousarray(rounded.permute(0, 1, 3, 4, 2).cpu().numpy())


def read_pixel_rows(
    task: StageTask, *, side: int, device: torch.device, trained_on: TrainedOn = "train"
) -> dict[str, PixelRows]:
    """Return the rows of each split, with clips of `side` pixels. The stage needs the inputs `clips` and `voxels`.

    `train` holds the clips that are trained on: with "train_and_validation" the validation clips follow.

    Raises:
        ValueError: A split has no clips, or clips and voxels differ in their number.
    """
    clips, fmri = read_clips(task), fmri_rows(task)
    if len(clips) != len(fmri):
        raise ValueError(f"there are {len(clips)} clips, but {len(fmri)} rows of fMRI; each clip must have one row")
    rows = {}
    for split in _SPLITS:
        index = clips_of(task, split)
        if split == "train" and trained_on == "train_and_validation":
            index = np.concatenate((index, clips_of(task, "validation")))
        answers = torch.from_numpy(np.ascontiguousarray(fmri[index])).to(device)
        rows[split] = PixelRows(index, answers, resized_clips(clips, index, side=side))
    return rows


def resized_clips(clips: ClipSequence, index: NDArray[np.int64], *, side: int) -> NDArray[np.uint8]:
    """Return the clips `index` at `side` pixels, uint8 [n,F,side,side,3]. No others are kept."""
    frames = clips.shape[1]
    found = np.empty((len(index), frames, side, side, 3), np.uint8)
    for row, clip in enumerate(index.tolist()):
        found[row] = resample(clips[clip : clip + 1][0], frames=frames, size=(side, side))
    return found
