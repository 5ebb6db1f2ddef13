"""Holm's adjustment and the stars."""

import math

import numpy as np
import pytest

from platform.statistics.attainable import smallest_p
from platform.statistics.multiplicity import holm, stars
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
