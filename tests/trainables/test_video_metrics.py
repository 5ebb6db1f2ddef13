"""The table of video metrics: every entry computes, knows its best value, and its static control is a still video."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.video import Network, Networks, reading_of

Clip = NDArray[np.uint8]


def clip(seed: int, *, frames: int = 5) -> Clip:
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 200, (1, 8, 8, 3)) + random.integers(0, 56, (frames, 8, 8, 3))
    return np.asarray(blocks.repeat(6, axis=1).repeat(6, axis=2), dtype=np.uint8)


def fake(seed: int, outputs: int, *, per_frame: bool) -> Network:
    weights = np.random.default_rng(seed).normal(size=(48 * 48 * 3, outputs))

    def network(frames: Clip) -> NDArray[np.float64]:
        values = (frames.reshape(len(frames), -1) / 255 - 0.5) @ weights
        return values if per_frame else values.mean(0, keepdims=True)

    return network


NETWORKS = Networks(
    image_classifier=fake(0, 60, per_frame=True),
    video_classifier=fake(1, 60, per_frame=False),
    vifi=fake(2, 16, per_frame=True),
    clip=fake(3, 16, per_frame=True),
)


OF_ANY_CLIP = [name for name, metric in CLIP_METRICS.items() if "object" not in metric.needs]


@pytest.mark.parametrize("name", OF_ANY_CLIP)
def test_every_metric_is_best_for_the_truth_itself(name: str) -> None:
    metric = CLIP_METRICS[name]
    truth, other = (reading_of(clip(seed), NETWORKS, legacy_flow=True) for seed in (0, 1))
    best, worse = metric.score(truth, truth, threads=1), metric.score(truth, other, threads=1)
    assert metric.low <= worse <= metric.high
    if name not in ("clip_pcc", "clip_pairs"):  # they compare frames of the reconstruction
        assert best == pytest.approx(metric.high if metric.goal == "max" else metric.low)
    assert worse < best if metric.goal == "max" else worse > best
    assert metric.arrow == ("↑" if metric.goal == "max" else "↓")
    assert metric.chance is None or metric.low < metric.chance < metric.high


def test_the_static_control_is_what_reading_a_still_video_gives() -> None:
    moving = clip(0)
    still = reading_of(moving, NETWORKS).static(NETWORKS)
    direct = reading_of(np.repeat(moving[:1], len(moving), axis=0), NETWORKS)
    assert (still.frames == direct.frames).all()
    assert {name: pytest.approx(value) for name, value in still.outputs.items()} == dict(direct.outputs)
    assert (still.flow["rgb"] == 0).all()


def test_metrics_need_what_they_say() -> None:
    reading = reading_of(clip(0), Networks())
    for metric in map(CLIP_METRICS.__getitem__, OF_ANY_CLIP):
        if metric.needs in ((), ("motion_energy",)):  # a protocol has it; it asks no network
            metric.score(reading, reading, threads=1)
        else:
            with pytest.raises(KeyError):
                metric.score(reading, reading, threads=1)


def test_one_frame_has_no_end_point_error() -> None:
    reading = reading_of(clip(0, frames=1), Networks())
    with pytest.raises(UndefinedError, match="one frame has no flow"):
        CLIP_METRICS["epe"].score(reading, reading, threads=1)
    assert CLIP_METRICS["ssim"].score(reading, reading, threads=1) == pytest.approx(1.0)
