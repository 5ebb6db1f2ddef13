"""The given stage: the videos of a system that was run elsewhere, paired with the held-out clips."""

import numpy as np

from trainables.context import StageResult, StageTask
from trainables.datasets.stored_clips import read_stimuli
from trainables.datasets.video_io import read_video, resample, split_pair
from trainables.judging.given_videos import find_given, pair_given
from trainables.judging.pairing import VideoFile
from trainables.metrics.clip import Clip
from trainables.tensors import TensorShape, TensorWriter


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors`: `videos` uint8 [n,F,H,W,3] and `index` int64 [n], the clips' numbers in the data set.

    Size and frame count are the most frequent ones of the folder; other videos are resized. Of videos that show truth
    and reconstruction side by side, the reconstruction is taken.

    Raises:
        ValueError: A video cannot be read, or none belongs to a held-out clip.
    """
    names = read_stimuli(task.inputs, task.config.dataset).source
    system = find_given(task.config)
    video_of = pair_given(system, names, task.inputs["voxels"].json("voxels.json")["split"])
    size, frames = system.native
    index = np.array(list(video_of), dtype=np.int64)
    shapes = {
        "videos": TensorShape("uint8", (len(index), frames, *size, 3)),
        "index": TensorShape("int64", index.shape),
    }
    with TensorWriter(task.context.output / "videos.safetensors", shapes) as file:
        file.write_whole("index", index)
        for row, name in enumerate(video_of.values()):
            clip = resample(_frames(system.clips[name]), frames=frames, size=size)
            file.write("videos", row, clip[None])
    native = f"{len(index)} videos, {size[0]}x{size[1]}, {frames} frames"
    return StageResult(info={"clips": str(len(index)), "videos": native})


def _frames(file: VideoFile) -> Clip:
    frames = read_video(file.path).frames
    halves = split_pair(frames)
    return frames if halves is None else halves[1]
