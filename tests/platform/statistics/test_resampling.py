"""Sign flips and bootstraps: against scipy and by hand, and what they promise under the null."""

import numpy as np
import pytest
from scipy import stats

from platform.statistics.resampling import (
    COVERAGE,
    bca_ends,
    bca_interval,
    crossed_interval,
    crossed_means,
    sign_flip_p,
    under_coverage,
)
from tests.platform.statistics.null_simulations import about, at_most, crossed

LEVEL = 0.95


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (6, 1 / 32), (16, 2**-15)])
def test_all_of_one_sign_yield_the_smallest_p(n: int, p: float) -> None:
    assert sign_flip_p(np.linspace(0.1, 0.2, n), rng=rng()) == p


def test_exact_p_by_hand() -> None:
    # The mean of 1, 2, -3 is 0, which every choice of signs reaches.
    assert sign_flip_p(np.array([1.0, 2.0, -3.0]), rng=rng()) == 1.0
    sums = [abs(a + 2 * b + 4 * c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    assert sign_flip_p(np.array([-1.0, 2.0, 4.0]), rng=rng()) == sum(total >= 5 for total in sums) / 8


@pytest.mark.parametrize("n", [4, 7, 11])
def test_exact_p_equals_that_of_scipy(n: int) -> None:
    for differences in (rng(n).normal(0.4, 1.0, n), rng(n).integers(-2, 4, n).astype(float)):
        reference = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip_p(differences, rng=rng()) == pytest.approx(float(reference.pvalue))


def test_ties_do_not_depend_on_rounding() -> None:
    thirds = np.array([0.1, 0.2, 0.3, 0.1 + 0.2, -0.3])
    assert sign_flip_p(thirds, rng=rng()) == sign_flip_p(np.array([1.0, 2.0, 3.0, 3.0, -3.0]), rng=rng())


def test_sampled_p_is_near_the_exact_one_and_never_zero() -> None:
    differences = rng(5).normal(0.5, 1.0, 16)
    exact = sign_flip_p(differences, rng=rng())
    sampled = sign_flip_p(np.append(differences, 0.0), rng=rng(6), resamples=20_000)  # a zero changes nothing
    assert sampled == pytest.approx(exact, abs=4 * float(np.sqrt(exact / 20_000)))
    assert sign_flip_p(np.ones(40), rng=rng(), resamples=999) == 1 / 1000


def test_rows_of_a_batch_are_tested_alone() -> None:
    batch = rng(1).normal(size=(2, 3, 6))
    single = [[float(sign_flip_p(row, rng=rng())) for row in rows] for rows in batch]
    assert sign_flip_p(batch, rng=rng()).tolist() == single


@pytest.mark.parametrize(("n", "alpha"), [(3, 0.25), (6, 1 / 32), (8, 0.05), (40, 0.05)])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_false_positives_of_sign_flips(n: int, alpha: float, tails: str) -> None:
    source = rng(n)
    null = source.standard_normal((4000, n)) if tails == "normal" else source.standard_t(2, (4000, n))
    hits = sign_flip_p(null, rng=source, resamples=999) <= alpha
    # Exactly alpha where alpha is one of the attainable p; 2^(1-8) x 6 = 0.047 is the largest below 0.05.
    assert about(hits, {8: 6 / 128}.get(n, alpha))


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_coverage_of_bca_over_few_units_is_what_the_warning_says(n: int) -> None:
    low, high = bca_ends(rng(n).standard_normal((1500, n)), level=LEVEL, rng=rng(1), resamples=999)
    covered = (low <= 0) & (high >= 0)
    assert covered.mean() == pytest.approx(COVERAGE[n], abs=4 * np.sqrt(0.25 * 0.75 / 1500))
    assert at_most(covered, LEVEL - 0.005)  # too narrow indeed
    assert f"{COVERAGE[n]:.0%}" in under_coverage(n, "seeds")


def test_coverage_of_bca_over_many_units() -> None:
    low, high = bca_ends(rng(3).standard_normal((1000, 60)), level=LEVEL, rng=rng(1), resamples=999)
    assert about((low <= 0) & (high >= 0), 0.945)
    assert under_coverage(60, "clips") == ""


def test_bca_interval_of_few_or_equal_values() -> None:
    one = bca_interval(np.array([1.0]), unit="seeds", level=LEVEL, rng=rng())
    assert np.isnan([one.low, one.high]).all()
    assert "needs at least two" in one.warning
    same = bca_interval(np.full(5, 0.25), unit="seeds", level=LEVEL, rng=rng())
    assert (same.low, same.high) == (0.25, 0.25)
    some = bca_interval(np.arange(40.0), unit="clips", level=LEVEL, rng=rng())
    assert some.low < 19.5 < some.high
    assert some.warning == ""


def test_crossed_draws_have_the_variance_that_theory_says() -> None:
    """That of the rows, of the columns and of the cells beyond both, each over its number (Owen 2007)."""
    cells = rng(4).standard_normal((1, 5, 6)) + np.arange(6.0)
    means = crossed_means(cells, rng=rng(1), resamples=40_000)
    by_seed, by_clip = cells[0].mean(axis=1), cells[0].mean(axis=0)
    rest = cells[0] - by_seed[:, None] - by_clip + cells.mean()
    assert means.mean() == pytest.approx(cells.mean(), abs=0.02)
    assert means.var() == pytest.approx(by_seed.var() / 5 + by_clip.var() / 6 + rest.var() / 30, rel=0.04)


def test_crossed_interval_names_what_it_drew() -> None:
    both = crossed_interval(rng(1).standard_normal((3, 5, 40)), level=LEVEL, rng=rng())
    assert both.unit == "subjects x seeds x clips"
    assert "3 subjects" in both.warning
    assert "5 seeds" in both.warning
    assert "clips is" not in both.warning
    assert crossed_interval(rng(1).standard_normal((1, 5, 40)), level=LEVEL, rng=rng()).unit == "seeds x clips"


@pytest.mark.parametrize(("seeds", "spread", "least"), [(5, (1.0, 0.2, 0.2), 0.83), (30, (0.5, 0.5, 1.0), 0.94)])
def test_coverage_of_the_crossed_bootstrap(seeds: int, spread: tuple[float, ...], least: float) -> None:
    covered = []
    for cells in crossed((300, seeds, 30), rng(9), spread=spread):
        low, high = np.quantile(crossed_means(cells[None], rng=rng(1), resamples=400), [0.025, 0.975])
        covered.append(low <= 0.0 <= high)
    share = np.mean(covered)
    noise = 4 * np.sqrt(least * (1 - least) / 300)
    assert share > least - noise
    assert seeds > 5 or share < least + noise  # the warning's number holds, it is not merely a bound
