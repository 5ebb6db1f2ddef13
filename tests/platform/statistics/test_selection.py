"""The luck of the best of many: known values, and a simulation in which chance alone chooses."""

import math

import numpy as np
import pytest

from platform.statistics.selection import expected_largest, luck_of_the_best, spread_within


@pytest.mark.parametrize(
    ("n", "known"),
    [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 0.84628), (12, 1.62923), (100, 2.50759), (1000, 3.24144)],
)
def test_the_expected_largest_is_that_of_the_tables(n: int, known: float) -> None:
    assert expected_largest(n) == pytest.approx(known, abs=1e-4)  # Harter 1961, Table 1


def test_the_largest_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="largest of 0 values"):
        expected_largest(0)


def test_the_spread_within_points_is_the_root_of_the_error_mean_square() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3)) + np.arange(7)[:, None] * 10  # points differ much
    residual = values - values.mean(axis=1, keepdims=True)
    assert spread_within(values) == pytest.approx(math.sqrt((residual**2).sum() / (7 * 2)))
    assert math.isnan(spread_within(values[:, :1]))


def test_the_luck_is_what_a_search_among_equal_points_shows() -> None:
    rng = np.random.default_rng(1)
    tables = rng.normal(0.0, 2.0, size=(4000, 12, 3))  # true value 0 everywhere
    shown = tables.mean(axis=2).max(axis=1).mean()
    told = np.mean([luck_of_the_best(table) for table in tables[:400]])
    assert told == pytest.approx(shown, rel=0.03)
