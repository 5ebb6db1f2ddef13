"""Holm's adjustment, the stars and false-discovery rates."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from platform.statistics.attainable import smallest_p
from platform.statistics.multiplicity import false_discovery_rates, holm, stars
from tests.platform.statistics.null_simulations import about, at_least, at_most

ALPHA = 0.05


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_a_test_that_could_not_be_made_counts_and_stays_unknown() -> None:
    first, second, third = holm([0.01, math.nan, 0.02])
    assert (first, third) == pytest.approx((0.03, 0.04))
    assert math.isnan(second)


def test_false_discovery_rates_by_hand() -> None:
    # Ranks 1 to 5 of 5 give .05, .025, .0333, .05, .9; none may exceed that of a larger p.
    assert false_discovery_rates([0.9, 0.01, 0.04, 0.02, 0.01]) == pytest.approx((0.9, 0.025, 0.05, 1 / 30, 0.025))
    rates = false_discovery_rates([math.nan, 0.01])
    assert math.isnan(rates[0])
    assert rates[1] == pytest.approx(0.02), "a test that could not be made counts"
    assert false_discovery_rates([]) == ()


def test_false_discoveries_where_most_effects_are_none() -> None:
    """Of 40 comparisons ten have an effect: the mean share of chance among those with q <= .2 is .2 * 30 / 40."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(2000):
        p_values = norm.sf(rng.normal(size=40) + np.repeat([3.0, 0.0], [10, 30]))
        found = np.array(false_discovery_rates(p_values.tolist())) <= 0.2
        shares.append(found[10:].sum() / max(found.sum(), 1))
    assert 0.13 < np.mean(shares) < 0.15 + 3 * np.std(shares) / 2000**0.5


def test_family_wise_error_under_independence_and_dependence() -> None:
    rng = np.random.default_rng(0)
    independent = rng.random((8000, 6))
    assert about(np.array([min(holm(row)) <= ALPHA for row in independent]), 1 - (1 - ALPHA / 6) ** 6)
    alike = np.repeat(rng.random((4000, 1)), 6, axis=1)
    assert at_most(np.array([min(holm(row)) <= ALPHA for row in alike]), ALPHA)


def test_family_wise_error_where_some_effects_are_true() -> None:
    rng = np.random.default_rng(1)
    p = np.hstack([rng.random((8000, 2)) * 1e-9, rng.random((8000, 3))])
    false = np.array([min(holm(row)[2:]) <= ALPHA for row in p])
    assert at_most(false, ALPHA)
    assert at_least(false, 0.048)  # not more cautious than it must be: 1 - (1 - 0.05/3)^3


@pytest.mark.parametrize(("p", "earned"), [(0.06, ""), (0.05, "*"), (0.01, "**"), (0.001, "***"), (math.nan, "")])
def test_stars(p: float, earned: str) -> None:
    assert stars(p, alpha=ALPHA) == earned


def test_stars_follow_alpha() -> None:
    assert stars(0.03, alpha=0.01) == ""


def test_no_star_that_the_seeds_cannot_earn() -> None:
    assert stars(max(holm([smallest_p(5)])), alpha=ALPHA) == ""
    assert stars(max(holm([smallest_p(6)] * 3)), alpha=ALPHA) == ""
    assert stars(max(holm([smallest_p(7)] * 3)), alpha=ALPHA) == "*"
