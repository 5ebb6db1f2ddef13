"""Motion energy of clips as metrics: equal to pymoten's, and what still, other and reversed clips score."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.datasets.phantom.stimuli import render, sample_factors
from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_energy import clip_energy, energy_correlation
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.video import Networks, reading_of

ORACLE = Path(__file__).parents[1] / "data" / "pymoten_energy_64.npy"
"""As in `test_motion_energy`, for clips of 64 pixels."""
CLIPS = render(sample_factors(np.random.default_rng(0), 12))


def score(name: str, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> float:
    return CLIP_METRICS[name].score(*(reading_of(clip, Networks()) for clip in (truth, prediction)))


def test_correlation_is_that_of_pymotens_energy() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 8, 64, 64, 3), dtype=np.uint8)
    noise[1, :, :32] //= 3
    first, second = map(clip_energy, noise)
    oracle = np.load(ORACLE)
    np.testing.assert_allclose([first.energy, second.energy], oracle, atol=1e-4)
    assert energy_correlation(first, second) == pytest.approx(np.corrcoef(oracle)[0, 1], abs=1e-5)
    assert score("motion_energy", *noise) == energy_correlation(first, second)


def test_only_opponent_energy_tells_motion_from_stillness() -> None:
    still = np.repeat(CLIPS[:, :1], CLIPS.shape[1], axis=1)
    pairs = {"still": still, "reversed": CLIPS[:, ::-1], "other": np.roll(CLIPS, 1, axis=0)}
    means = {
        name: {
            kind: np.mean([score(name, *pair) for pair in zip(CLIPS, clips, strict=True)])
            for kind, clips in pairs.items()
        }
        for name in ("motion_energy", "opponent_energy")
    }
    assert means["motion_energy"]["still"] > 0.9
    assert means["motion_energy"]["reversed"] > 0.9
    assert means["motion_energy"]["other"] > 0.7
    assert means["opponent_energy"]["still"] == 0
    assert means["opponent_energy"]["reversed"] < -0.85
    assert abs(means["opponent_energy"]["other"]) < 0.3


def test_the_mirrored_clip_moves_the_other_way() -> None:
    drifting = np.stack([np.roll(CLIPS[0, 0], 3 * step, axis=1) for step in range(8)])
    back = np.stack([np.roll(CLIPS[0, 0], -3 * step, axis=1) for step in range(8)])
    assert score("opponent_energy", drifting, back) < 0 < score("opponent_energy", drifting, drifting)


@pytest.mark.parametrize("frames", [5, 6, 16])
def test_clips_of_other_lengths_have_motion_energy(frames: int) -> None:
    clip = np.stack([np.roll(CLIPS[0, 0], step, axis=1) for step in range(frames)])
    assert score("opponent_energy", clip, clip) == pytest.approx(1)


def test_a_black_or_still_reconstruction_has_the_score_of_chance() -> None:
    still, black = np.repeat(CLIPS[0, :1], 8, axis=0), np.zeros((8, 64, 64, 3), np.uint8)
    assert score("motion_energy", CLIPS[0], black) == 0
    assert score("opponent_energy", CLIPS[0], black) == score("opponent_energy", CLIPS[0], still) == 0


def test_what_has_no_motion_energy_says_why() -> None:
    still, black = np.repeat(CLIPS[0, :1], 8, axis=0), np.zeros((8, 64, 64, 3), np.uint8)
    with pytest.raises(UndefinedError, match="nothing moves in the true clip"):
        score("opponent_energy", still, CLIPS[0])
    with pytest.raises(UndefinedError, match="the true clip is black"):
        score("motion_energy", black, CLIPS[0])
    with pytest.raises(UndefinedError, match="needs 5 frames; the clip has 4"):
        score("motion_energy", CLIPS[0, :4], CLIPS[0, :4])
