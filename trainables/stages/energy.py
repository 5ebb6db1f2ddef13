"""The energy stage: motion energy of all clips, which all subjects and trials share."""

import json
from dataclasses import asdict

import numpy as np
import torch

from trainables.context import StageResult, StageTask
from trainables.datasets.video_io import resample
from trainables.metrics.motion_energy import EnergyBank, gabors, luminance_of
from trainables.system_videos import read_clips
from trainables.tensors import TensorShape, TensorWriter

AT_ONCE = 32
"""Clips at a time."""


def run(task: StageTask) -> StageResult:
    """Write `energy.safetensors`, `energy` float32 [N,K], and `filters.json`, a description of the K filters.

    Raises:
        ValueError: The clips have too few frames for the filters.
    """
    config, clips = task.config.energy, read_clips(task)
    count, frames = clips.shape[:2]
    bank = EnergyBank(config, frames=frames)
    size = (config.resolution, config.resolution)
    shapes = {"energy": TensorShape("float32", (count, bank.count))}
    with TensorWriter(task.context.output / "energy.safetensors", shapes) as file:
        for first in range(0, count, AT_ONCE):
            block = np.asarray(clips[first : first + AT_ONCE])
            sized = np.stack([resample(clip, frames=frames, size=size) for clip in block])
            file.write("energy", first, bank.energy(torch.from_numpy(luminance_of(sized))).numpy())
    described = [asdict(gabor) for gabor in gabors(config)]
    (task.context.output / "filters.json").write_text(json.dumps(described), encoding="utf-8")
    return StageResult(info={"filters": str(bank.count), "clips": str(count)})
