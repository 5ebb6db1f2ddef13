"""Clips per second of the video metrics against plain loops that give the same values.

`python -m benchmarks.metrics` prints a Markdown table. The pixel and flow metrics are compared with a loop over frames
that calls scikit-image and OpenCV as one would write it down (and as the released code does); the exact n-way accuracy
with the released code's sampling, 100 draws per frame. Contestants take turns, and the best of the rounds counts, so
that what else runs on the machine disturbs all of them alike.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2 as opencv
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from skimage import metrics as skimage_metrics

from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.nway import NWay
from trainables.metrics.video import Networks, Reading, read_all

Clip = NDArray[np.uint8]
cv2: Any = opencv
structural_similarity: Any = skimage_metrics.structural_similarity
peak_signal_noise_ratio: Any = skimage_metrics.peak_signal_noise_ratio
SYSTEMS = 4
"""The system and its controls that have a flow of their own are four or more for every true clip."""
PIXELS = ("ssim", "psnr", "hue_cos_legacy", "hue_cos", "hue_pcc")


@dataclass(frozen=True)
class Race:
    """One line of the table."""

    name: str
    seconds: tuple[float, float]
    """Of the plain loop, and ours."""
    clips: int
    difference: float
    """Largest difference between the values of both."""
    aim: float

    def __str__(self) -> str:
        plain, ours = self.seconds
        rates = f"{self.clips / plain:.3g} | {self.clips / ours:.3g}"
        return f"| {self.name} | {rates} | {plain / ours:.1f} | {self.aim:g} | {self.difference:.1e} |"


def main() -> None:
    """Run the races and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    clips = [moving(seed, options.frames, options.size) for seed in range(1 + SYSTEMS)]
    setting = (
        f"{options.frames} frames of {options.size}x{options.size}, {threads} CPU, best of {options.rounds} rounds"
    )
    print(f"{setting}; load of the machine before: {os.getloadavg()[0]:.1f}\n")
    print("| metrics | plain loop, clips/s | ours, clips/s | ratio | aim | largest difference |")
    print("|---|---:|---:|---:|---:|---:|")
    every = "SSIM, PSNR, hue x 3, EPE"
    for name, judged, flow in (
        (f"{every}; {SYSTEMS} systems of one truth", clips, True),
        (f"{every}; one system", clips[:2], True),
        ("the same without EPE", clips[:2], False),
    ):
        print(race_videos(name, judged, flow=flow, threads=threads, rounds=options.rounds))
    for test in (NWay(), NWay(n=50)):
        print(race_nway(test, 2 * options.rounds))


def moving(seed: int, frames: int, size: int) -> Clip:
    """Return a smooth coloured texture that moves and changes a little: `[F, size, size, 3]`."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    grain = random.integers(0, 12, (frames, size, size, 3), dtype=np.uint8)
    return np.stack([cv2.add(np.roll(picture, (t, 2 * t), (0, 1)), grain[t]) for t in range(frames)])


def race_videos(name: str, clips: Sequence[Clip], *, flow: bool, threads: int, rounds: int) -> Race:
    """Score all but the first of `clips` against it, by the plain loop and by ours."""
    chosen = (*PIXELS, "epe") if flow else PIXELS

    def ours() -> list[list[float]]:
        readings = read_all(clips, Networks(), threads=threads) if flow else [Reading(clip, {}, {}) for clip in clips]
        truth, *systems = readings
        return [[CLIP_METRICS[name].score(truth, one, threads=threads) for name in chosen] for one in systems]

    times, values = compete((lambda: [plain(clips[0], one, flow=flow) for one in clips[1:]], ours), rounds)
    return Race(name, times, len(clips) - 1, float(np.abs(np.subtract(*values)).max()), 3)


def plain(truth: Clip, prediction: Clip, *, flow: bool) -> list[float]:
    """Compute the metrics frame by frame."""
    rows = []
    for x, y in zip(truth, prediction, strict=True):
        row = [
            structural_similarity(y, x, data_range=255, channel_axis=-1),
            peak_signal_noise_ratio(x, y, data_range=255),
        ]
        for code, centred in ((cv2.COLOR_BGR2HSV, False), (cv2.COLOR_RGB2HSV, False), (cv2.COLOR_RGB2HSV, True)):
            one, other = (cv2.cvtColor(frame, code)[..., 0].astype(float).ravel() for frame in (x, y))
            if centred:
                row.append(np.corrcoef(one, other)[0, 1])
            else:
                row.append((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))
        rows.append(row)
    means = [float(mean) for mean in np.mean(rows, axis=0)]
    return [*means, plain_epe(truth, prediction)] if flow else means


def plain_epe(truth: Clip, prediction: Clip) -> float:
    """Compute the end-point error flow by flow."""
    errors = []
    for t in range(len(truth) - 1):
        flows = []
        for clip in (truth, prediction):
            before, after = (cv2.cvtColor(clip[i], cv2.COLOR_RGB2GRAY) for i in (t, t + 1))
            flows.append(cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0))
        errors.append(np.linalg.norm(flows[0] - flows[1], axis=-1).mean())
    return float(np.mean(errors))


def race_nway(test: NWay, rounds: int) -> Race:
    """Score 4 clips of 8 frames over 1000 classes, exactly and by sampling 100 draws per frame."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(4, 8, 1000))
    prediction = truth / 2 + random.normal(size=truth.shape)
    times, values = compete(
        (lambda: plain_nway(truth, prediction, n=test.n), lambda: test.exact(truth, prediction)), rounds
    )
    return Race(f"{test.n}-way top-1", times, 4, float(np.abs(values[0] - values[1]).mean()), 100)


def plain_nway(
    truth: NDArray[np.float64], prediction: NDArray[np.float64], *, n: int, trials: int = 100
) -> NDArray[np.float64]:
    """Sample as Algorithm 2 says it: draw wrong classes, and look whether a right one comes first."""
    random = np.random.default_rng(0)
    accuracies = []
    for logits, scores in zip(truth.reshape(-1, truth.shape[-1]), prediction.reshape(-1, truth.shape[-1]), strict=True):
        right = np.argsort(logits)[-3:]
        wrong = np.delete(np.arange(len(logits)), right)
        probabilities = softmax(scores)
        hits = 0
        for _ in range(trials):
            drawn = random.choice(wrong, n - 1, replace=False)
            hits += any(probabilities[g] > probabilities[drawn].max() for g in right)
        accuracies.append(hits / trials)
    return np.array(accuracies).reshape(truth.shape[:-1])


def compete(
    contestants: tuple[Callable[[], Any], Callable[[], Any]], rounds: int
) -> tuple[tuple[float, float], list[Any]]:
    """Return the best time and the value of both, who take turns."""
    best = [float("inf"), float("inf")]
    values: list[Any] = [None, None]
    for _ in range(rounds):
        for index, contestant in enumerate(contestants):
            start = time.perf_counter()
            values[index] = contestant()
            best[index] = min(best[index], time.perf_counter() - start)
    return (best[0], best[1]), values


if __name__ == "__main__":
    main()
