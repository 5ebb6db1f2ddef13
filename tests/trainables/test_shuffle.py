"""The shuffle test on tables whose answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.metrics.shuffle import clip_p, group_p, permutations, reorder, shuffle_test
from trainables.metrics.video_semantics import consistency, transition_similarities


def ordered(clips: int, *, frames: int = 8) -> NDArray[np.float64]:
    """Error of a transition: how far it is from one step forward."""
    i, j = np.indices((frames, frames))
    return np.broadcast_to(np.abs(j - i - 1.0), (clips, frames - 1, frames, frames))


def test_a_true_order_that_is_best_is_never_beaten() -> None:
    outcome = shuffle_test(ordered(5), goal="min")
    assert outcome.group.shape == (5,)
    assert (outcome.group == 0).all()
    assert (outcome.per_clip == 1 / 501).all()


def test_the_goal_decides_the_direction() -> None:
    assert (shuffle_test(ordered(5), goal="max").group == 1).all()
    assert (shuffle_test(ordered(5), goal="max").per_clip == 1).all()


def test_per_clip_p_of_meaningless_orders_is_uniform() -> None:
    table = np.random.default_rng(0).normal(size=(2000, 7, 8, 8))
    p = shuffle_test(table, goal="min", shuffles=99, repeats=1).per_clip
    assert p.mean() == pytest.approx(0.505, abs=0.03)
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_ties_count_against_the_clip_but_not_in_the_papers_form() -> None:
    outcome = shuffle_test(np.zeros((3, 7, 8, 8)), goal="min")
    assert (outcome.group == 0).all()
    assert (outcome.per_clip == 1).all()


def test_both_p_values_by_hand() -> None:
    shuffled = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 1.0, 9.0]])
    assert group_p(shuffled, original=3.0, goal="min") == pytest.approx([0.5, 0.25])
    assert group_p(shuffled, original=3.0, goal="max") == pytest.approx([0.25, 0.75])
    assert clip_p(shuffled, original=np.array([3.0, 5.0]), goal="min") == pytest.approx([4 / 5, 4 / 5])


def test_permutations_are_seeded_orders_of_all_frames() -> None:
    orders = permutations(8, 200, seed=1)
    assert (np.sort(orders, axis=1) == np.arange(8)).all()
    assert (orders == permutations(8, 200, seed=1)).all()
    assert (orders != permutations(8, 200, seed=2)).any()
    with pytest.raises(ValueError, match=r"2 frame\(s\); a shuffle test needs 3 or more"):
        permutations(2, 10, seed=0)


def test_reordered_similarities_are_the_consistency_of_the_reordered_clip() -> None:
    embeddings = np.random.default_rng(0).normal(size=(6, 16))
    orders = permutations(6, 10, seed=0)
    table = transition_similarities(embeddings)[None]
    assert reorder(table, orders)[0] == pytest.approx([consistency(embeddings[order]) for order in orders])
