"""Agreement with a published table: against scipy, and how often chance agrees."""

import numpy as np
import pytest
from scipy import stats

from platform.statistics.permutation import kendall, sign_agreement
from tests.platform.statistics.null_simulations import at_most


@pytest.mark.parametrize("n", [3, 5, pytest.param(7, marks=pytest.mark.long)])
def test_the_order_against_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    published, ours = rng.normal(size=(2, n))
    test = stats.kendalltau(published, ours, alternative="greater", method="exact")
    assert kendall(published, ours) == pytest.approx((test.statistic, test.pvalue))


@pytest.mark.long
def test_more_conditions_are_drawn() -> None:
    published = np.arange(9.0)
    tau, p = kendall(published, published)
    assert tau == 1.0
    assert p == pytest.approx(1e-4)
    assert np.isnan(kendall(published, np.zeros(9))[0])


def test_all_effects_of_one_sign_agree_however_they_are_assigned() -> None:
    worse = -np.ones((6, 4))
    worse[0, 0] = 1.0
    assert sign_agreement(worse, -np.ones((6, 4))) == (23, 1.0)


def test_a_pattern_is_more_than_its_signs() -> None:
    pattern = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    count, p = sign_agreement(pattern, pattern)
    assert count == 3
    assert p == pytest.approx(1 / 6)
    assert sign_agreement(pattern, np.full((3, 3), np.nan)) == (0, 1.0)


def test_tables_without_a_relation_agree_as_seldom_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    p = [sign_agreement(*np.sign(rng.normal(-0.8, 1.0, (2, 5, 4))))[1] for _ in range(60)]
    assert at_most(np.array(p) <= 0.05, 0.05)
