import numpy as np
import pytest
from scipy import stats

from trainables.datasets.errors import DatasetError
from trainables.preparation.voxel_selection import RepeatTest, Selection, repeat_test, top_by_test


def test_top_and_above_choose_in_ascending_order_and_never_nan() -> None:
    scores = np.array([0.5, np.nan, 0.9, 0.1, 0.5])
    assert Selection("top", 2).choose(scores).tolist() == [0, 2]
    assert Selection("above", 0.4).choose(scores).tolist() == [0, 2, 4]


def test_impossible_selections_are_refused_with_numbers() -> None:
    scores = np.array([0.5, np.nan, 0.9])
    with pytest.raises(DatasetError, match="top: 3 voxels are wanted, but only 2 have a score"):
        Selection("top", 3).choose(scores)
    with pytest.raises(DatasetError, match=r"no voxel is above 0\.95; the highest score is 0\.9"):
        Selection("above", 0.95).choose(scores)


def correlations(segments: int = 18, voxels: int = 300) -> np.ndarray:
    return np.tanh(np.random.default_rng(0).normal(np.linspace(-0.1, 0.6, voxels), 0.1, (segments, voxels)))


def test_it_equals_scipys_one_sided_test_of_fishers_z() -> None:
    values = correlations()
    ours = repeat_test(values)
    theirs = stats.ttest_1samp(np.arctanh(values), 0, alternative="greater")
    np.testing.assert_allclose(ours.t, theirs.statistic)
    np.testing.assert_allclose(ours.p, theirs.pvalue)
    assert ours.significant().tolist() == np.flatnonzero(theirs.pvalue * 300 < 0.05).tolist()


def test_ties_of_p_are_broken_by_t() -> None:
    t = np.array([500.0, 900.0, 3.0, 700.0, np.nan])
    test = RepeatTest(t, np.array([0.0, 0.0, 0.01, 0.0, np.nan]))
    assert top_by_test(test, 2).tolist() == [1, 3]
    assert top_by_test(test, 4).tolist() == [0, 1, 2, 3]


def test_constant_voxels_are_never_chosen_and_perfect_ones_first() -> None:
    values = correlations(4, 5)
    values[0, 4] = np.nan
    values[:, 0] = 1.0
    test = repeat_test(values)
    assert np.isnan(test.t[4])
    assert top_by_test(test, 1).tolist() == [0]
    assert 4 not in test.significant(1.1)


def test_one_segment_is_too_few() -> None:
    with pytest.raises(DatasetError, match="needs two or more with two repeats each, but there is 1"):
        repeat_test(correlations(1))
