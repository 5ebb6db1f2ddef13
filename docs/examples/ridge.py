"""A system without a network: ridge regression in closed form, from voxels to the pixels of all frames.

The solution needs no weights: each reconstruction is a weighted sum of the training clips.
"""

from typing import Any

import numpy as np

from trainables.api import Config, NewStage, Plugin, Positive, StageResult
from trainables.api.videos import clips_of, fmri_rows, read_clips, write_videos

BLOCK = 100


class Settings(Config):
    """Ridge regression from voxels to pixels."""

    penalty: Positive = 300.0
    """Weight of the squared coefficients."""


def run(task: Any) -> StageResult:
    """Write the reconstructions of all validation and test clips."""
    fmri, clips = fmri_rows(task), read_clips(task)
    train, held_out = clips_of(task, "train"), clips_of(task, "validation", "test")
    seen, asked = fmri[train].astype(np.float64), fmri[held_out].astype(np.float64)
    mean = seen.mean(axis=0)
    gram = (seen - mean).T @ (seen - mean) + task.config.ridge.penalty * np.eye(seen.shape[1])
    weights = (asked - mean) @ np.linalg.solve(gram, (seen - mean).T) + 1 / len(train)  # [held out, training clips]
    weights -= (weights.sum(axis=1, keepdims=True) - 1) / len(train)
    videos = np.zeros((len(held_out), *clips.shape[1:]), dtype=np.float32)
    for start in range(0, len(train), BLOCK):
        rows = train[start : start + BLOCK]
        frames = np.stack([np.asarray(clips[row : row + 1][0]) for row in rows]).astype(np.float32)
        videos += np.tensordot(weights[:, start : start + BLOCK].astype(np.float32), frames, axes=1)
    write_videos(task, videos.round().clip(0, 255).astype(np.uint8), held_out)
    return StageResult(info={"clips": str(len(held_out))})


PLUGIN = Plugin(
    api=1,
    stages=(
        NewStage(name="ridge", run=run, inputs=("clips", "voxels"), settings=Settings, makes="ridge", seconds=10.0),
    ),
)
