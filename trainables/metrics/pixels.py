"""Pixel metrics of two clips: SSIM, PSNR and the hue metrics (mind-animator.md C.1, paper Table 2).

All take RGB clips `uint8 [F, H, W, 3]` and return the mean over frames, as the released code does. The values depend on
resolution, padding and palette (mind-animator.md B32). Compare systems only at the same size.
"""

import math
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.metrics.clip import Bools, Clip, Floats, UndefinedError, check_pair, map_in_threads

WINDOW = 7
PSNR_CAP = 100.0
_PIXELS = WINDOW * WINDOW
_C1 = np.float32((0.01 * 255) ** 2 * _PIXELS * _PIXELS)
_C2 = np.float32((0.03 * 255) ** 2 * _PIXELS * (_PIXELS - 1))
_STRIP = 32
"""Rows per step of SSIM. A strip fits into the CPU cache, which is four times as fast at 512x512."""
_SQUARE_ROOTS = np.sqrt(np.arange(256)).astype(np.float32)
_COSINES = np.cos(np.arange(180) * np.pi / 90).astype(np.float32)


def ssim(truth: Clip, prediction: Clip, *, mask: Bools | None = None, threads: int = 1) -> float:
    """Return the structural similarity (SSIM), -1 to 1, higher is better.

    It equals scikit-image's `structural_similarity(data_range=255, channel_axis=-1)`: 7x7 uniform window, sample
    covariance, without the 3 border pixels, mean over channels. Window sums of 8-bit pixels are exact integers, so
    differences between them have no rounding error.

    Args:
        truth: `[F, H, W, 3]`.
        prediction: `[F, H, W, 3]`.
        mask: `[F, H, W]`, the pixels (window centres) to average over; all by default.
        threads: Number of frames computed in parallel.

    Raises:
        ValueError: The frames are smaller than the window, or the shapes differ.
        UndefinedError: The mask is empty in some frame.

    Example:
        >>> truth = np.random.default_rng(0).integers(256, size=(2, 16, 16, 3), dtype=np.uint8)
        >>> ssim(truth, truth), round(ssim(truth, 255 - truth), 2)
        (1.0, -0.97)
    """
    check_pair(truth, prediction)
    if min(truth.shape[1:3]) < WINDOW:
        raise ValueError(
            f"frames are {truth.shape[1]}x{truth.shape[2]} pixels, but SSIM needs {WINDOW}x{WINDOW} or more"
        )
    border = WINDOW // 2
    inner = slice(border, -border)
    chosen = mask[:, inner, inner] if mask is not None else np.ones((len(truth), 1, 1), bool)
    empty = np.flatnonzero(~chosen.any(axis=(1, 2)))
    if empty.size:
        raise UndefinedError(f"the mask is empty in {_frames(empty)}")
    maps = map_in_threads(lambda pair: _ssim_map(*pair), zip(truth, prediction, strict=True), threads=threads)
    means = [scores.mean(dtype=np.float64, where=where[..., None]) for scores, where in zip(maps, chosen, strict=True)]
    return float(np.mean(means))


def _ssim_map(first: Clip, second: Clip) -> NDArray[np.float32]:
    """Return the SSIM `[H-6, W-6, 3]` of the windows around every pixel of two frames `[H, W, 3]`."""
    reach = WINDOW - 1
    strips = range(0, len(first) - reach, _STRIP)
    parts = [(first[top : top + _STRIP + reach], second[top : top + _STRIP + reach]) for top in strips]
    return np.concatenate([_ssim_strip(*part) for part in parts])


def _ssim_strip(first: Clip, second: Clip) -> NDArray[np.float32]:
    product = cv2.multiply(first, second, dtype=cv2.CV_16U)
    gap = cv2.absdiff(first, second)
    squared_gap = cv2.multiply(gap, gap, dtype=cv2.CV_16U)
    sum_first, sum_second, sum_product, sum_gap = map(_window_sums, (first, second, product, squared_gap))
    # n: pixels in a window. `cross` is n^2 times the product of the means; `squares` is n^2 times the sum of the
    # squared means. `covariance` and `variances` are n(n-1) times the sample's. x^2 + y^2 = (x - y)^2 + 2xy.
    # No integer exceeds 2^31.
    cross = sum_first * sum_second
    squares = sum_first * sum_first + sum_second * sum_second
    covariance = _PIXELS * sum_product - cross
    variances = _PIXELS * (sum_gap + 2 * sum_product) - squares
    numerator = ((2 * cross).astype(np.float32) + _C1) * ((2 * covariance).astype(np.float32) + _C2)
    denominator = (squares.astype(np.float32) + _C1) * (variances.astype(np.float32) + _C2)
    return np.asarray(numerator / denominator, dtype=np.float32)


def _window_sums(image: NDArray[Any]) -> NDArray[np.int32]:
    border = WINDOW // 2
    sums = cv2.boxFilter(image, cv2.CV_32S, (WINDOW, WINDOW), normalize=False)
    return np.asarray(sums, dtype=np.int32)[border:-border, border:-border]


_SIGMA, _REACH = 1.5, 5
"""Standard deviation of the Gaussian window, and how many pixels it reaches."""
_GREY = np.array([0.2125, 0.7154, 0.0721])
"""Weights of red, green and blue in scikit-image's `rgb2gray`."""


def ssim_grey(truth: Clip, prediction: Clip, *, threads: int = 1) -> float:
    """Return SSIM of grey frames with a Gaussian window, -1 to 1, higher is better.

    It equals scikit-image's `structural_similarity(data_range=1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)` of `rgb2gray` frames: 11x11 window, population covariance, without the 5 border
    pixels.

    Args:
        truth: `[F, H, W, 3]`.
        prediction: `[F, H, W, 3]`.
        threads: Number of frames computed in parallel.

    Raises:
        ValueError: The frames are smaller than the window, or the shapes differ.
    """
    check_pair(truth, prediction)
    window = 2 * _REACH + 1
    if min(truth.shape[1:3]) < window:
        raise ValueError(
            f"frames are {truth.shape[1]}x{truth.shape[2]} pixels, but this SSIM needs {window}x{window} or more"
        )
    pairs = zip(truth, prediction, strict=True)
    return float(np.mean(map_in_threads(lambda pair: _ssim_of_grey(*pair), pairs, threads=threads)))


def _ssim_of_grey(first: Clip, second: Clip) -> float:
    x, y = (frame @ _GREY / 255.0 for frame in (first, second))
    mean_x, mean_y = map(_gaussian, (x, y))
    covariance = _gaussian(x * y) - mean_x * mean_y
    variances = _gaussian(x * x) + _gaussian(y * y) - mean_x * mean_x - mean_y * mean_y
    c1, c2 = 0.01**2, 0.03**2
    scores = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    scores = scores / ((mean_x * mean_x + mean_y * mean_y + c1) * (variances + c2))
    return float(scores[_REACH:-_REACH, _REACH:-_REACH].mean())


def _gaussian(image: NDArray[Any]) -> NDArray[Any]:
    size = (2 * _REACH + 1, 2 * _REACH + 1)
    return np.asarray(cv2.GaussianBlur(image, size, _SIGMA, borderType=cv2.BORDER_REFLECT))


def psnr(truth: Clip, prediction: Clip, *, threads: int = 1) -> float:
    """Return the peak signal-to-noise ratio in dB, higher is better: mean over frames of 20 log10(255 / RMSE).

    Two equal frames count as 100 dB, as in the released code (mind-animator.md B36). Without this limit, one equal
    frame would make a clip's mean infinite.

    Example:
        >>> truth = np.zeros((2, 16, 16, 3), np.uint8)
        >>> psnr(truth, truth), round(psnr(truth, truth + 25), 1)
        (100.0, 20.2)
    """
    check_pair(truth, prediction)
    errors = np.array(
        map_in_threads(
            lambda pair: cv2.norm(*pair, cv2.NORM_L2SQR), zip(truth, prediction, strict=True), threads=threads
        )
    )
    errors /= truth[0].size
    decibels = np.full(len(errors), PSNR_CAP)
    unequal = errors >= 1e-10
    decibels[unequal] = 10 * np.log10(255.0**2 / errors[unequal])
    return float(decibels.mean())


def hue_cos_legacy(truth: Clip, prediction: Clip, *, threads: int = 1, frames: int | None = None) -> float:
    """Return the paper's "hue-pcc", 0 to 1, higher is better: cosine of hue maps with red and blue swapped.

    The released code reads RGB frames as BGR and computes an uncentred cosine (mind-animator.md B31). This metric is
    for comparison with published numbers. Unrelated videos score about 0.7 to 0.8.

    Raises:
        UndefinedError: All hues of a frame are zero (grey, black, or pure colours of hue 0).
    """
    return _mean_cosine(truth[:frames], prediction[:frames], code=cv2.COLOR_BGR2HSV, centred=False, threads=threads)


def hue_cos(truth: Clip, prediction: Clip, *, threads: int = 1, frames: int | None = None) -> float:
    """Return the cosine of hue maps, 0 to 1, higher is better: the paper's formula with the correct RGB order."""
    return _mean_cosine(truth[:frames], prediction[:frames], code=cv2.COLOR_RGB2HSV, centred=False, threads=threads)


def hue_pcc(truth: Clip, prediction: Clip, *, threads: int = 1, frames: int | None = None) -> float:
    """Return Pearson's correlation of hue maps of RGB frames, -1 to 1, higher is better, chance level about 0.

    This is the metric that the paper's name "hue-pcc" describes.

    Raises:
        UndefinedError: A frame has only one hue.
    """
    return _mean_cosine(truth[:frames], prediction[:frames], code=cv2.COLOR_RGB2HSV, centred=True, threads=threads)


def _mean_cosine(truth: Clip, prediction: Clip, *, code: int, centred: bool, threads: int) -> float:
    check_pair(truth, prediction)
    frame = partial(_cosine_of_hues, code=code, centred=centred)
    values = np.array(map_in_threads(frame, zip(truth, prediction, strict=True), threads=threads))
    return _defined_mean(
        values,
        "no hue in the truth or the prediction" if not centred else "a single hue all over the truth or the prediction",
    )


def _cosine_of_hues(pair: tuple[Clip, Clip], *, code: int, centred: bool) -> float:
    first, second = (_hue(frame, code) for frame in pair)
    # Exact integers, so that centring has no rounding error: 2xy = x^2 + y^2 - (x - y)^2.
    squares = [round(cv2.norm(hue, cv2.NORM_L2SQR)) for hue in (first, second)]
    product = (sum(squares) - round(cv2.norm(first, second, cv2.NORM_L2SQR))) // 2
    if centred:
        sums = [int(hue.sum(dtype=np.int64)) for hue in (first, second)]
        product = first.size * product - sums[0] * sums[1]
        squares = [first.size * square - total**2 for square, total in zip(squares, sums, strict=True)]
    return product / math.sqrt(squares[0] * squares[1]) if min(squares) > 0 else math.nan


def _hue(frame: Clip, code: int) -> Clip:
    """Return the hue `[H, W]` in units of two degrees."""
    return np.asarray(cv2.extractChannel(cv2.cvtColor(frame, code), 0), dtype=np.uint8)


def hue_circular(truth: Clip, prediction: Clip, *, threads: int = 1, frames: int | None = None) -> float:
    """Return the agreement of hues on the colour circle, -1 to 1, higher is better, 0 for unrelated hues.

    It is the mean over pixels of cos(hue difference), weighted by the geometric mean of the two chromas (largest minus
    smallest channel). So hues of 0 and 359 degrees are close, and almost grey pixels, whose hue is noise, have little
    weight. Source: this project, not the paper.

    Raises:
        UndefinedError: In some frame, no pixel has colour in both clips.
    """
    check_pair(truth, prediction)
    pairs = zip(truth[:frames], prediction[:frames], strict=True)
    values = np.array(map_in_threads(_circular_agreement, pairs, threads=threads))
    return _defined_mean(values, "no pixel with colour in both truth and prediction")


def _circular_agreement(pair: tuple[Clip, Clip]) -> float:
    weights, hues = zip(*map(_weight_and_hue, pair), strict=True)
    weight = weights[0] * weights[1]
    total = float(weight.sum(dtype=np.float64))
    if total == 0:
        return math.nan
    agreement = _COSINES[cv2.absdiff(*hues)]
    return float((weight * agreement).sum(dtype=np.float64)) / total


def _weight_and_hue(frame: Clip) -> tuple[Floats, Clip]:
    red, green, blue = cv2.split(frame)
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return _SQUARE_ROOTS[np.asarray(chroma)], _hue(frame, cv2.COLOR_RGB2HSV)


def _defined_mean(values: Floats, reason: str) -> float:
    """Return the mean over frames.

    Raises:
        UndefinedError: A value is NaN.
    """
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        raise UndefinedError(f"{reason} in {_frames(missing)}")
    return float(values.mean())


def _frames(indices: NDArray[np.intp]) -> str:
    return f"frame{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"
