"""Metrics of a known object against plain loops and scikit-image."""

from typing import Any

import cv2
import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from trainables.datasets.phantom.stimuli import COLOURS, SHAPES, object_mask, render, sample_factors
from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.objects import KnownObject, factor_accuracy
from trainables.metrics.video import Networks, Reading, reading_of

FACTORS = sample_factors(np.random.default_rng(0), 2)
structural_similarity: Any = skimage_metrics.structural_similarity
CLIPS, MASKS = render(FACTORS), object_mask(FACTORS)
KINDS = len(SHAPES), len(COLOURS)


def pair() -> tuple[Reading, Reading]:
    known = KnownObject(MASKS[0], int(FACTORS.shape[0]), int(FACTORS.colour[0]), KINDS)
    truth = reading_of(CLIPS[0], Networks())
    return Reading(truth.frames, truth.flow, truth.outputs, known), reading_of(CLIPS[1], Networks())


def score(name: str, truth: Reading, prediction: Reading) -> float:
    return CLIP_METRICS[name].score(truth, prediction, threads=1)


def test_object_ssim_is_the_mean_of_scikit_images_map_over_the_object() -> None:
    truth, prediction = pair()
    expected = []
    for one, two, mask in zip(truth.frames, prediction.frames, MASKS[0], strict=True):
        _, full = structural_similarity(one, two, data_range=255, channel_axis=-1, full=True)
        inside = np.zeros_like(mask)
        inside[3:-3, 3:-3] = mask[3:-3, 3:-3]
        expected.append(full[inside].mean())
    assert score("object_ssim", truth, prediction) == pytest.approx(np.mean(expected), abs=1e-5)


def test_object_epe_is_the_flow_error_where_the_object_was() -> None:
    truth, prediction = pair()
    expected = []
    for t in range(7):
        flows = []
        for frames in (truth.frames, prediction.frames):
            before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[t : t + 2])
            empty = np.empty((64, 64, 2), np.float32)
            flows.append(cv2.calcOpticalFlowFarneback(before, after, empty, 0.5, 3, 15, 3, 5, 1.2, 0))
        expected.append(np.linalg.norm(flows[0] - flows[1], axis=-1)[MASKS[0, t]].mean())
    assert score("object_epe", truth, prediction) == pytest.approx(np.mean(expected), abs=1e-5)
    assert score("object_epe", truth, truth) == 0.0


@pytest.mark.parametrize("factor", ["shape", "colour"])
def test_factor_accuracy_is_that_of_summed_probabilities(factor: str) -> None:
    logits = np.random.default_rng(1).normal(scale=2.0, size=(500, 32)).astype(np.float32)
    known = KnownObject(np.ones((500, 4, 4), bool), shape=2, colour=5, kinds=(4, 8))
    hits = []
    for row in logits.astype(float):
        chances = np.exp(row) / np.exp(row).sum()
        totals: dict[int, float] = {}
        for index, chance in enumerate(chances):
            shape, colour = divmod(index, 8)
            totals[shape if factor == "shape" else colour] = (
                totals.get(shape if factor == "shape" else colour, 0.0) + chance
            )
        hits.append(max(totals, key=lambda kind: totals[kind]) == (2 if factor == "shape" else 5))
    assert factor_accuracy(known, logits, factor="shape" if factor == "shape" else "colour") == np.mean(hits)
    assert 0.02 < np.mean(hits) < 0.5


def test_what_is_not_known_has_no_value() -> None:
    truth, prediction = pair()
    with pytest.raises(UndefinedError, match="nothing is known"):
        score("object_ssim", prediction, truth)
    with pytest.raises(UndefinedError, match="tells 1000 classes apart, not 4 shapes in 8 colours"):
        factor_accuracy(KnownObject(MASKS[0], 0, 0, KINDS), np.zeros((8, 1000)), factor="shape")
