"""Metrics of decoders that are trained on pixels, and what such a stage says of its training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trainables.context import StageTask
from trainables.loop import LoopState
from trainables.metrics.diversity import diversity
from trainables.stages.pixel_rows import PixelRows

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
        prefix, true = "test_" if split == "test" else "", rows[split]
        found[f"{prefix}l1"] = mean_error(made, true)
        found[f"{prefix}l1_mean"] = mean_error(np.broadcast_to(mean, true.clips.shape), true)
        found[f"{prefix}diversity"] = diversity(made)
        found[f"{prefix}diversity_truth"] = diversity(true.clips)
    return found


def training_facts(task: StageTask, progress: LoopState, model: nn.Module, *, device: Any) -> dict[str, str]:
    """Return the facts of a training, for the manifest."""
    return {
        "parameters": str(sum(p.numel() for p in model.parameters())),
        "best_epoch": str(progress.best_epoch),
        "epochs": str(progress.epoch),
        "device": str(device),
        "workers": str(task.context.world_size),
    }
