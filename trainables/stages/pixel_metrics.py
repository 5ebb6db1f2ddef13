"""Metrics of decoders that are trained on pixels, and what such a stage leaves."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from trainables.config.decoders import TrainConfig
from trainables.context import StageResult, StageTask
from trainables.loop import LoopState
from trainables.metrics.diversity import diversity
from trainables.metrics.metric import split_prefix
from trainables.stages.decoding import trained_result
from trainables.stages.pixel_rows import PixelRows
from trainables.system_videos import write_videos

Videos = NDArray[np.uint8]


def mean_error(videos: Videos, rows: PixelRows) -> float:
    """Return the mean absolute error of pixels in [0, 1] of videos uint8 [rows,F,H,W,3]."""
    errors = [np.abs(made.astype(np.int16) - true).mean() for made, true in zip(videos, rows.clips, strict=True)]
    return float(np.mean(errors) / 255.0)


def pixel_metrics(videos: Mapping[str, Videos], rows: Mapping[str, PixelRows]) -> dict[str, float]:
    """Return the metrics of both held-out splits, those of test clips with the prefix `test_`, and their controls.

    `l1`: mean absolute error of pixels, with `l1_mean` that of the mean training clip. `diversity`: how much videos
    differ from one another, with `diversity_truth` that of the true clips.
    """
    mean = rows["train"].clips.mean(axis=0, dtype=np.float32).round().astype(np.uint8)
    found = {}
    for split, made in videos.items():
        prefix, true = split_prefix(split), rows[split]
        found[f"{prefix}l1"] = mean_error(made, true)
        found[f"{prefix}l1_mean"] = mean_error(np.broadcast_to(mean, true.clips.shape), true)
        found[f"{prefix}diversity"] = diversity(made)
        found[f"{prefix}diversity_truth"] = diversity(true.clips)
    return found


@dataclass(frozen=True)
class TrainedPart:
    """The part of what was trained that makes videos."""

    model: nn.Module
    training: TrainConfig


def pixel_result(
    task: StageTask, part: TrainedPart, progress: LoopState, videos: Mapping[str, Videos], rows: Mapping[str, PixelRows]
) -> StageResult:
    """Write the videos of both held-out splits and `model.safetensors`, the part; return the stage's result."""
    write_videos(task, np.concatenate(list(videos.values())), np.concatenate([rows[split].index for split in videos]))
    save_file(part.model.state_dict(), task.context.output / "model.safetensors")
    return trained_result(task, part, progress, pixel_metrics(videos, rows), device=rows["train"].fmri.device)
