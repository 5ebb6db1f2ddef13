"""VIFI-score, CLIP-pcc and its gate."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from trainables.metrics.clip import UndefinedError
from trainables.metrics.video_semantics import clip_pcc, consistency, transition_similarities, vifi

RANDOM = np.random.default_rng(0)
TRUTH, PREDICTION = RANDOM.normal(size=(8, 32)), RANDOM.normal(size=(8, 32))


def test_vifi_is_the_cosine_of_mean_embeddings() -> None:
    theirs = cosine_similarity(TRUTH.mean(0, keepdims=True), PREDICTION.mean(0, keepdims=True))[0, 0]
    assert vifi(TRUTH, PREDICTION) == pytest.approx(theirs)
    assert vifi(TRUTH, 3 * TRUTH) == pytest.approx(1.0)


def test_clip_pcc_is_the_mean_cosine_of_neighbours_where_the_gate_is_open() -> None:
    theirs = np.mean([cosine_similarity(PREDICTION)[t, t + 1] for t in range(7)])
    assert clip_pcc(PREDICTION, vifi_score=0.61) == pytest.approx(theirs)
    assert clip_pcc(PREDICTION, vifi_score=0.6) == 0.0
    assert clip_pcc(PREDICTION, vifi_score=0.5, gate=0.4) == pytest.approx(theirs)


def test_a_still_video_is_perfectly_consistent() -> None:
    assert consistency(np.repeat(PREDICTION[:1], 8, axis=0)) == pytest.approx(1.0)


def test_half_precision_embeddings_lose_nothing_to_overflow() -> None:
    assert vifi((TRUTH * 1000).astype(np.float16), (TRUTH * 1000).astype(np.float16)) == pytest.approx(1.0)
    assert consistency((PREDICTION * 1000).astype(np.float16)) == pytest.approx(consistency(PREDICTION), abs=1e-3)


def test_degenerate_embeddings_say_so() -> None:
    with pytest.raises(UndefinedError, match="one frame has no neighbour"):
        consistency(PREDICTION[:1])
    with pytest.raises(UndefinedError, match="embedding is zero or not finite"):
        vifi(TRUTH, np.zeros_like(TRUTH))
    with pytest.raises(UndefinedError, match="embedding is zero or not finite"):
        vifi(TRUTH, np.full_like(TRUTH, np.nan))
    with pytest.raises(UndefinedError, match="embedding is zero or not finite"):
        transition_similarities(np.zeros((8, 4)))
