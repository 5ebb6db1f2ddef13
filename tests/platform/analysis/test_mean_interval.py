"""Intervals of means end where the metric's range ends; those of differences do not."""

import math

from platform.analysis.findings import MeanInterval
from trainables.metrics.clip_metrics import CLIP_METRICS


def test_no_mean_lies_beyond_the_range_of_its_metric() -> None:
    accuracy, error = CLIP_METRICS["colour_accuracy"], CLIP_METRICS["epe"]
    assert MeanInterval(0.93, 0.85, 1.01).of_mean(accuracy) == MeanInterval(0.93, 0.85, 1.0)
    assert MeanInterval(0.1, -0.02, 0.22).of_mean(error) == MeanInterval(0.1, 0.0, 0.22)
    assert MeanInterval(7.0, 5.0, 9.0).of_mean(error) == MeanInterval(7.0, 5.0, 9.0)
    nothing = MeanInterval(math.nan, math.nan, math.nan).of_mean(accuracy)
    assert math.isnan(nothing.low)
    assert math.isnan(nothing.high)
