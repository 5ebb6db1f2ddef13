"""Two one-sided tests: against scipy, and how often they wrongly claim that there is no difference."""

import numpy as np
import pytest
from scipy import stats

from platform.statistics.difference import over_both, over_units
from platform.statistics.equivalence import tost
from tests.platform.statistics.null_simulations import about, at_least, at_most, crossed

ALPHA = 0.05


def test_equals_the_larger_of_two_one_sided_t_tests() -> None:
    values = np.random.default_rng(0).normal(0.1, 1.0, 25)
    below = stats.ttest_1samp(values, -0.6, alternative="greater").pvalue
    above = stats.ttest_1samp(values, 0.6, alternative="less").pvalue
    assert tost(over_units(values), margin=0.6) == pytest.approx(max(below, above))


def test_significant_exactly_if_the_narrower_interval_lies_within() -> None:
    rng = np.random.default_rng(1)
    for values in rng.normal(0.2, 0.6, (200, 12)):
        estimate = over_units(values)
        interval = estimate.interval(level=1 - 2 * ALPHA, unit="clips")
        assert (tost(estimate, margin=0.5) <= ALPHA) == (interval.low > -0.5 and interval.high < 0.5)


@pytest.mark.parametrize("true", [-0.5, 0.5])
def test_false_claims_at_the_margin(true: float) -> None:
    rows = np.random.default_rng(2).normal(true, 0.5, (1500, 20))
    assert about(np.array([tost(over_units(row), margin=0.5) <= ALPHA for row in rows]), ALPHA)


def test_false_claims_over_seeds_and_clips() -> None:
    cells = 0.5 + crossed((800, 8, 24), np.random.default_rng(3), spread=(0.3, 0.5, 0.3))
    assert at_most(np.array([tost(over_both(one), margin=0.5) <= ALPHA for one in cells]), 0.054)


def test_no_difference_is_found_where_there_is_none() -> None:
    rows = np.random.default_rng(4).normal(0.0, 0.5, (300, 40))
    assert at_least(np.array([tost(over_units(row), margin=0.5) <= ALPHA for row in rows]), 0.99)


def test_values_without_spread() -> None:
    assert tost(over_units(np.zeros(5)), margin=0.1) == 0.0
    assert tost(over_units(np.full(5, 0.2)), margin=0.1) == 1.0
    assert np.isnan(tost(over_units(np.zeros(1)), margin=0.1))


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_must_be_positive(margin: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        tost(over_units(np.zeros(5)), margin=margin)
