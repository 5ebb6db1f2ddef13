"""The closed form of n-way accuracy against every draw enumerated, against sampling, and against chance."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.metrics.clip import UndefinedError
from trainables.metrics.nway import NWay


def enumerated(truth: list[float], prediction: list[float], test: NWay) -> float:
    """Every draw of wrong classes, and every order in which ties may be broken, counted one by one."""
    classes = range(len(truth))
    right = sorted(classes, key=lambda c: (-truth[c], c))[: test.positives]
    wrong = [c for c in classes if c not in right]
    successes = trials = 0
    for draw in combinations(wrong, test.n - 1):
        pool = [*right, *draw]
        for order in permutations(range(len(pool))):
            ranked = sorted(range(len(pool)), key=lambda i: (-prediction[pool[i]], order[i]))
            trials += 1
            # A right class is in the top k among itself and the draw if fewer than k of the draw precede the first one.
            first = next(place for place, i in enumerate(ranked) if i < test.positives)
            successes += first < test.k
    return successes / trials


@settings(max_examples=40)
@given(
    truth=st.lists(st.integers(0, 9), min_size=6, max_size=6, unique=True),
    prediction=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    n=st.integers(2, 4),
    k=st.integers(1, 2),
    positives=st.integers(1, 3),
)
def test_closed_form_is_the_enumeration_ties_included(
    truth: list[float], prediction: list[float], n: int, k: int, positives: int
) -> None:
    if k >= n or positives + n - 1 > 6:
        return
    test = NWay(n=n, k=k, positives=positives)
    exact = test.exact(np.array([truth], float), np.array([prediction], float))
    assert exact[0] == pytest.approx(enumerated(truth, prediction, test), abs=1e-12)


@pytest.mark.parametrize("test", [NWay(), NWay(n=50), NWay(n=10, k=5)], ids=str)
def test_sampling_agrees_with_its_expectation(test: NWay) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4, 400))
    prediction = 0.3 * truth + random.normal(size=truth.shape)
    exact = test.exact(truth, prediction)
    trials = 1000
    sampled = test.sampled(truth, prediction, trials=trials, seed=1)
    deviation = np.sqrt(exact * (1 - exact) / trials)
    assert (np.abs(sampled - exact) <= 4.5 * deviation + 1e-12).all()
    assert 0 < exact.min() < exact.max() <= 1


def test_sampling_is_seeded_and_keeps_the_shape() -> None:
    random = np.random.default_rng(0)
    truth, prediction = random.normal(size=(2, 3, 20)), random.normal(size=(2, 3, 20))
    first = NWay().sampled(truth, prediction, trials=10, seed=3)
    assert first.shape == NWay().exact(truth, prediction).shape == (2, 3)
    assert (first == NWay().sampled(truth, prediction, trials=10, seed=3)).all()
    assert (first != NWay().sampled(truth, prediction, trials=10, seed=4)).any()


def test_sampling_breaks_ties_as_the_closed_form_does() -> None:
    truth = np.arange(20.0)[None]
    prediction = np.zeros((1, 20))
    assert NWay().sampled(truth, prediction, trials=2000)[0] == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize(("n", "k", "expected"), [(2, 1, 0.75), (50, 1, 3 / 52), (5, 1, 3 / 7), (3, 2, 0.9)])
def test_chance(n: int, k: int, expected: float) -> None:
    assert NWay(n=n, k=k).chance == pytest.approx(expected)


@pytest.mark.parametrize("test", [NWay(), NWay(n=50), NWay(n=50, k=5), NWay(n=3, k=2, positives=1)], ids=str)
def test_logits_that_say_nothing_score_chance(test: NWay) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(20000, 60))
    assert test.exact(truth, random.normal(size=truth.shape)).mean() == pytest.approx(test.chance, abs=0.01)
    assert test.exact(truth[:3], np.ones((3, 60))) == pytest.approx(test.chance)


def test_the_truth_itself_scores_one_and_its_reverse_zero() -> None:
    truth = np.random.default_rng(0).normal(size=(4, 30))
    assert (NWay(n=5).exact(truth, truth) == 1).all()
    assert (NWay(n=5).exact(truth, -truth) == 0).all()


def test_only_the_order_of_logits_matters() -> None:
    random = np.random.default_rng(0)
    truth, prediction = random.normal(size=(5, 30)), random.normal(size=(5, 30))
    softmax = np.exp(prediction) / np.exp(prediction).sum(-1, keepdims=True)
    assert (NWay(n=4).exact(truth, prediction) == NWay(n=4).exact(truth, softmax)).all()


@pytest.mark.parametrize("wrong", [{"n": 1}, {"k": 0}, {"n": 3, "k": 3}, {"positives": 0}])
def test_impossible_forms_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 <= k < n"):
        NWay(**wrong)


def test_bad_logits_are_refused() -> None:
    good = np.zeros((2, 6))
    with pytest.raises(ValueError, match=r"shapes \[2, 6\] and \[3, 6\]; both must be the same"):
        NWay().exact(good, np.zeros((3, 6)))
    with pytest.raises(ValueError, match="3 classes; 3 correct and 1 wrong are needed"):
        NWay().exact(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(UndefinedError, match="logits hold NaN or infinity"):
        NWay().exact(good, np.full((2, 6), np.nan))
