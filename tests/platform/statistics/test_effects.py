"""Effect sizes: by hand, against scipy, and the coverage of their intervals."""

import numpy as np
import pytest
from scipy import stats

from platform.statistics.effects import cliffs_delta, effects, hedges, small_sample_factor
from tests.platform.statistics.null_simulations import about, at_least

LEVEL = 0.95


def test_cliffs_delta_by_hand() -> None:
    found = cliffs_delta(np.array([1.0, 2.0, -1.0, 0.0, 3.0]), level=LEVEL)
    assert found.value == pytest.approx((3 - 1) / 5)
    # Bonett and Price: shares 4/7 and 2/7, half width 1.96 sqrt((6/7 - (2/7)^2) / 7).
    half = 1.959964 * np.sqrt((6 / 7 - 4 / 49) / 7)
    assert (found.low, found.high) == pytest.approx((2 / 7 - half, 2 / 7 + half))


def test_cliffs_delta_of_units_that_all_agree_still_has_a_width() -> None:
    found = cliffs_delta(np.ones(6), level=LEVEL)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.0 < found.low < 0.5


def test_hedges_by_hand() -> None:
    baseline, condition = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 5.0, 7.0])
    g_z, g_av = hedges(baseline, condition, level=LEVEL)
    small = small_sample_factor(3)
    assert g_z.value == pytest.approx(small * 1.5 / np.sqrt(5 / 3))  # differences 1, 0, 2, 3
    assert g_av.value == pytest.approx(small * 1.5 / np.sqrt((5 / 3 + 6) / 2))
    assert g_av.low / g_av.value == pytest.approx(g_z.low / g_z.value)


def test_the_correction_is_near_its_usual_approximation() -> None:
    assert small_sample_factor(2) == pytest.approx(0.5642, abs=1e-4)  # sqrt(1 / pi)
    assert small_sample_factor(20) == pytest.approx(1 - 3 / (4 * 20 - 1), abs=2e-4)


def test_interval_of_g_z_is_where_the_noncentral_t_puts_the_observed() -> None:
    differences = np.random.default_rng(0).normal(1.0, 1.0, 12)
    g_z, _ = hedges(np.zeros(12) + np.arange(12), np.arange(12) + differences, level=LEVEL)
    t = stats.ttest_1samp(differences, 0.0).statistic
    low, high = (end / small_sample_factor(11) * np.sqrt(12) for end in (g_z.low, g_z.high))
    assert stats.nct.sf(t, 11, low) == pytest.approx(0.025, abs=1e-6)
    assert stats.nct.cdf(t, 11, high) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("effect", [50.0, 1000.0])
def test_a_huge_effect_has_an_interval_too(effect: float) -> None:
    rng = np.random.default_rng(0)
    g_z, _ = hedges(rng.normal(size=40) * 0.01, rng.normal(size=40) * 0.01 + effect * 0.01, level=LEVEL)
    assert g_z.low < g_z.value < g_z.high


def test_degenerate_values() -> None:
    steps = np.arange(5.0)
    same = effects(steps, steps, level=LEVEL)
    assert (same.g_z.value, same.g_av.value, same.cliff.value) == (0.0, 0.0, 0.0)
    shifted = effects(steps, steps + 0.1, level=LEVEL)
    assert np.isnan([shifted.g_z.value, shifted.g_av.value]).all()
    assert shifted.cliff.value == 1.0
    assert np.isnan(effects(steps[:2], steps[:2] + steps[:2], level=LEVEL).g_z.value)


@pytest.mark.parametrize(("n", "effect"), [(5, 0.0), (30, 0.8)])
def test_coverage_of_the_intervals(n: int, effect: float) -> None:
    rng = np.random.default_rng(n)
    baseline = rng.standard_normal((400, n))
    differences = rng.normal(effect, 1.0, (400, n))
    found = [effects(b, b + d, level=LEVEL) for b, d in zip(baseline, differences, strict=True)]
    # The interval is that of the uncorrected effect, shrunk like the estimate.
    small = small_sample_factor(n - 1)
    assert about(np.array([one.g_z.low <= effect * small <= one.g_z.high for one in found]), LEVEL)
    delta = 2 * stats.norm.cdf(effect) - 1
    assert at_least(np.array([one.cliff.low <= delta <= one.cliff.high for one in found]), 0.94)
