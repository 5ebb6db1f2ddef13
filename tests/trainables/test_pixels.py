"""SSIM, PSNR and hue against scikit-image, scipy and colorsys, and where they are undefined."""

import colorsys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from skimage import metrics

from trainables.metrics import pixels
from trainables.metrics.clip import UndefinedError

Clip = NDArray[np.uint8]
structural_similarity: Any = metrics.structural_similarity
peak_signal_noise_ratio: Any = metrics.peak_signal_noise_ratio
HUES = (pixels.hue_cos_legacy, pixels.hue_cos, pixels.hue_pcc, pixels.hue_circular)


def noise(seed: int, shape: tuple[int, ...] = (3, 32, 40, 3)) -> Clip:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(seed: int, shape: tuple[int, ...] = (3, 32, 40, 3)) -> Clip:
    return np.stack([cv2.GaussianBlur(frame, (9, 9), 3) for frame in noise(seed, shape)])


def flat(value: int, shape: tuple[int, ...] = (3, 32, 40, 3)) -> Clip:
    return np.full(shape, value, np.uint8)


PAIRS = {
    "noise": (noise(0), noise(1)),
    "smooth": (smooth(0), smooth(1)),
    "nearly flat and bright": (flat(254), flat(254) + (noise(2) > 250).astype(np.uint8)),
    "black and white": (flat(0), flat(255)),
    "both black": (flat(0), flat(0)),
    "extremes": ((noise(3) > 127) * np.uint8(255), (noise(4) > 127) * np.uint8(255)),
    "smallest": (noise(5, (1, 7, 7, 3)), noise(6, (1, 7, 7, 3))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_ssim_is_that_of_scikit_image(name: str) -> None:
    truth, prediction = PAIRS[name]
    theirs = [
        structural_similarity(y, x, data_range=255, channel_axis=-1) for x, y in zip(truth, prediction, strict=True)
    ]
    assert pixels.ssim(truth, prediction) == pytest.approx(np.mean(theirs), abs=2e-6)
    assert pixels.ssim(truth, prediction, threads=3) == pixels.ssim(truth, prediction)


def test_masked_ssim_is_the_mean_of_scikit_images_map_over_the_mask() -> None:
    truth, prediction = smooth(0), smooth(1)
    mask = noise(2, (3, 32, 40)) > 200
    maps = [
        structural_similarity(y, x, data_range=255, channel_axis=-1, full=True)[1][3:-3, 3:-3][where[3:-3, 3:-3]].mean()
        for x, y, where in zip(truth, prediction, mask, strict=True)
    ]
    assert pixels.ssim(truth, prediction, mask=mask) == pytest.approx(np.mean(maps), abs=2e-6)


def test_ssim_says_which_frame_has_an_empty_mask() -> None:
    mask = np.ones((3, 32, 40), bool)
    mask[1] = False
    with pytest.raises(UndefinedError, match="mask is empty in frame 1"):
        pixels.ssim(smooth(0), smooth(1), mask=mask)


def test_ssim_refuses_frames_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="frames are 6x9 pixels, but SSIM needs 7x7 or more"):
        pixels.ssim(noise(0, (1, 6, 9, 3)), noise(1, (1, 6, 9, 3)))


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "both black"])
def test_psnr_is_that_of_scikit_image(name: str) -> None:
    truth, prediction = PAIRS[name]
    theirs = [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(truth, prediction, strict=True)]
    assert pixels.psnr(truth, prediction) == pytest.approx(np.mean(theirs), abs=1e-9)


def test_equal_frames_have_100_db_and_one_of_them_does_not_make_the_mean_infinite() -> None:
    truth = noise(0)
    assert pixels.psnr(truth, truth) == 100.0
    prediction = truth.copy()
    prediction[0] = 255 - prediction[0]
    expected = (peak_signal_noise_ratio(truth[0], prediction[0], data_range=255) + 200) / 3
    assert pixels.psnr(truth, prediction) == pytest.approx(expected)


def test_hues_are_those_of_colorsys() -> None:
    truth, prediction = smooth(0)[:1], smooth(1)[:1]
    maps = [
        np.array([colorsys.rgb_to_hsv(*(pixel / 255))[0] for pixel in clip.reshape(-1, 3)])
        for clip in (truth, prediction)
    ]
    cosine = maps[0] @ maps[1] / np.linalg.norm(maps[0]) / np.linalg.norm(maps[1])
    assert pixels.hue_cos(truth, prediction) == pytest.approx(cosine, abs=5e-3)
    assert pixels.hue_pcc(truth, prediction) == pytest.approx(pearsonr(*maps).statistic, abs=2e-2)


def test_pearson_is_that_of_scipy_on_the_same_hues() -> None:
    truth, prediction = smooth(0), smooth(1)
    theirs = [
        pearsonr(*(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)[..., 0].ravel().astype(float) for frame in pair)).statistic
        for pair in zip(truth, prediction, strict=True)
    ]
    assert pixels.hue_pcc(truth, prediction) == pytest.approx(np.mean(theirs), abs=1e-9)


def test_the_legacy_cosine_is_the_cosine_with_red_and_blue_swapped() -> None:
    truth, prediction = smooth(0), smooth(1)
    swapped = pixels.hue_cos(np.ascontiguousarray(truth[..., ::-1]), np.ascontiguousarray(prediction[..., ::-1]))
    assert pixels.hue_cos_legacy(truth, prediction) == pytest.approx(swapped)
    assert pixels.hue_cos_legacy(truth, prediction) != pytest.approx(pixels.hue_cos(truth, prediction), abs=1e-3)


def painted(*colour: int) -> Clip:
    return np.broadcast_to(np.array(colour, np.uint8), (2, 16, 16, 3)).copy()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((255, 0, 0), (255, 0, 0), 1.0),
        ((255, 0, 8), (255, 8, 0), 1.0),  # 2 degrees to either side of red: neighbours on the circle
        ((255, 0, 0), (0, 255, 255), -1.0),
        ((255, 0, 0), (0, 255, 0), -0.5),
        ((255, 0, 0), (40, 20, 20), 1.0),
    ],
)
def test_circular_agreement_of_plain_colours(one: tuple[int, ...], other: tuple[int, ...], expected: float) -> None:
    assert pixels.hue_circular(painted(*one), painted(*other)) == pytest.approx(expected, abs=0.01)


def test_grey_pixels_do_not_count_in_the_circular_agreement() -> None:
    truth, prediction = painted(255, 0, 0), painted(255, 0, 0)
    prediction[:, :8] = 77
    assert pixels.hue_circular(truth, prediction) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", HUES, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("grey", [0, 128])
def test_grey_frames_have_no_hue_and_the_metric_says_which(metric: Callable[[Clip, Clip], float], grey: int) -> None:
    truth, prediction = smooth(0), smooth(1)
    prediction[1] = grey
    with pytest.raises(UndefinedError, match=r"frame 1$"):
        metric(truth, prediction)
    with pytest.raises(UndefinedError, match=r"frames 0, 1, 2$"):
        metric(flat(grey), truth)


@pytest.mark.parametrize("metric", [pixels.ssim, pixels.psnr, *HUES], ids=lambda metric: metric.__name__)
def test_equal_clips_score_best(metric: Callable[[Clip, Clip], float]) -> None:
    clip = smooth(0)
    assert metric(clip, clip) == pytest.approx(100.0 if metric is pixels.psnr else 1.0)


@pytest.mark.parametrize("metric", [pixels.ssim, pixels.psnr, *HUES], ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (noise(1, (2, 32, 40, 3)), r"truth is \[3, 32, 40, 3\] but prediction is \[2, 32, 40, 3\]"),
        (
            noise(1, (3, 32, 40, 4)),
            r"prediction is uint8 \[3, 32, 40, 4\]; it must be uint8 \[frames, height, width, 3\]",
        ),
        (noise(1) / 255.0, "prediction is float64"),
    ],
)
def test_other_shapes_and_types_are_refused(metric: Callable[..., float], prediction: Clip, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(noise(0), prediction)
