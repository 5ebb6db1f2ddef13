"""Seeds needed: floors, ceilings, against the noncentral t, and against whole simulated studies."""

import numpy as np
import pytest
from scipy import stats

from platform.statistics.attainable import seeds_for
from platform.statistics.difference import over_both
from platform.statistics.power import (
    PowerTarget,
    VarianceComponents,
    cautious_components,
    seeds_needed,
    simulated_power,
    variance_components,
)
from platform.statistics.resampling import sign_flip_p
from tests.platform.statistics.null_simulations import crossed


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_components_are_recovered() -> None:
    pilots = crossed((300, 6, 20), rng(1), spread=(1.0, 2.0, 3.0))
    found = np.array([[s.seeds, s.clips, s.residual] for s in map(variance_components, pilots)]).mean(axis=0)
    assert found == pytest.approx([1.0, 4.0, 9.0], rel=0.12)


def test_a_pilot_of_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="1 seeds and 5 clips: their spread needs at least 2"):
        seeds_needed(np.zeros((1, 5)), PowerTarget(0.1))


def test_numbers_of_whole_trials_are_planned_over_seeds_alone() -> None:
    pilot = 0.3 + rng(7).normal(0.0, 1.0, (20, 1))
    assert variance_components(pilot) == VarianceComponents(float(pilot.var(ddof=1)), 0.0, 0.0)
    needed = seeds_needed(pilot, PowerTarget(0.9 * float(pilot.std(ddof=1)), unit="seeds")).seeds
    assert needed in (11, 12, 13), "the noncentral t asks for 12 at 0.9 standard deviations"
    with pytest.raises(ValueError, match="one clip, but the unit both needs the spread"):
        seeds_needed(pilot, PowerTarget(0.9))


@pytest.mark.parametrize("wrong", [{"effect": 0.0}, {"effect": 1.0, "alpha": 0.9}, {"effect": 1.0, "family": 0}])
def test_an_aim_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs 0 < alpha < power < 1"):
        PowerTarget(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [1, 3])
def test_a_huge_effect_still_needs_the_attainable_number(family: int) -> None:
    plan = seeds_needed(crossed((1, 3, 30), rng(2), spread=(0.1, 0.1, 0.1))[0], PowerTarget(50.0, family=family))
    assert plan.seeds == plan.fewest_seeds == seeds_for(0.05, family)


@pytest.mark.parametrize("clips", [1, 30])
def test_power_of_many_seeds_is_that_of_the_noncentral_t(clips: int) -> None:
    spread, aim = VarianceComponents(seeds=1.0, clips=0.0, residual=0.0), PowerTarget(0.6, unit="seeds")
    for n in (12, 25):
        t = stats.t.ppf(0.975, n - 1)
        shift = 0.6 * np.sqrt(n)
        expected = stats.nct.sf(t, n - 1, shift) + stats.nct.cdf(-t, n - 1, shift)
        assert simulated_power(spread, shape=(n, clips), aim=aim, rng=rng(3)) == pytest.approx(expected, abs=0.045)


@pytest.mark.parametrize("seeds", [6, 10])
def test_power_is_that_of_whole_studies(seeds: int) -> None:
    """The short cut through sufficient statistics, against tables made cell by cell and judged by the tests."""
    spread, effect, tables = VarianceComponents(seeds=0.25, clips=0.5, residual=1.0), 0.7, 800
    cells = effect + crossed((tables, seeds, 20), rng(4), spread=(0.5, 0.5**0.5, 1.0))
    flips = sign_flip_p(cells.mean(axis=2), rng=rng())
    clips = sign_flip_p(cells.mean(axis=1), rng=rng(), resamples=999)
    t = np.array([over_both(one).p() for one in cells])
    found = (np.maximum(np.maximum(flips, clips), t) <= 0.05).mean()
    planned = simulated_power(spread, shape=(seeds, 20), aim=PowerTarget(effect), rng=rng(5))
    assert planned == pytest.approx(found, abs=4 * np.sqrt(0.25 / tables))


def test_more_spread_or_a_smaller_effect_needs_more_seeds() -> None:
    calm = crossed((1, 6, 30), rng(6), spread=(0.2, 0.2, 0.5))[0]
    few = seeds_needed(calm, PowerTarget(0.6)).seeds
    many = seeds_needed(calm, PowerTarget(0.3)).seeds
    assert few is not None
    assert many is not None
    assert few < many


def test_where_clips_hide_the_effect_no_number_of_seeds_will_do() -> None:
    plan = seeds_needed(crossed((1, 4, 10), rng(7), spread=(0.1, 3.0, 0.1))[0], PowerTarget(0.5))
    assert plan.seeds is None
    assert "more clips are needed" in plan.explanation
    few_clips = seeds_needed(crossed((1, 4, 4), rng(7), spread=(0.1, 0.1, 0.1))[0], PowerTarget(5.0))
    assert few_clips.seeds is None
    assert "4 clips allow no p below 0.125" in few_clips.explanation


def test_the_cautious_number_allows_for_a_lucky_pilot() -> None:
    plan = seeds_needed(crossed((1, 3, 30), rng(8), spread=(0.5, 0.1, 0.3))[0], PowerTarget(0.2))
    assert plan.seeds is not None
    assert plan.cautious is not None
    assert plan.cautious > plan.seeds
    # Four pilots in five have a true spread below the limit (Browne 1995).
    pilots = crossed((1500, 3, 30), rng(9), spread=(0.5, 0.1, 0.3))
    limits = np.array([cautious_components(variance_components(pilot), pilot.shape).seeds for pilot in pilots])
    assert (limits >= 0.25).mean() == pytest.approx(0.8, abs=0.05)


def test_over_clips_one_seed_may_do() -> None:
    plan = seeds_needed(crossed((1, 3, 40), rng(10), spread=(0.5, 0.5, 0.1))[0], PowerTarget(1.0, unit="clips"))
    assert plan.seeds == plan.fewest_seeds == 1
