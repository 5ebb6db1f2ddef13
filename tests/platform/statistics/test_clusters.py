"""Clips in clusters: averages that keep the mean, tests over clusters, and what few clusters can show."""

from dataclasses import replace

import numpy as np
import pytest

from platform.statistics.attainable import smallest_p, unattainable
from platform.statistics.clusters import in_clusters
from platform.statistics.compare import Comparison, compare_family
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.difference import over_units
from platform.statistics.paired import PairedTable, Values, complete_cases
from platform.statistics.power import PowerTarget, seeds_needed
from platform.statistics.resampling import sign_flip_p
from tests.platform.statistics.null_simulations import table
from trainables.judging.cluster_means import cluster_means


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def films(*sizes: int) -> tuple[str, ...]:
    return tuple(f"film {film}" for film, size in enumerate(sizes) for _ in range(size))


def clustered(cells: Values, clusters: tuple[str, ...]) -> PairedTable:
    """A table whose differences [seeds, clips] are `cells`."""
    return replace(table(np.zeros((1, *cells.shape)), cells[None]), clusters=clusters)


def judged(paired: PairedTable, **plan: object) -> Comparison:
    return compare_family([paired], ComparisonPlan(**plan))[0]  # type: ignore[arg-type]


def test_clips_on_their_own_are_left_as_they_are() -> None:
    values = rng().normal(size=(3, 4))
    assert cluster_means(values, ("a", "b", "c", "d")).values is values
    cases = complete_cases(table(values[None], values[None]))
    assert in_clusters(cases) is cases
    assert cases.units == 4


def test_clusters_of_one_size_are_averaged() -> None:
    means = cluster_means(np.array([[1.0, 3.0, 5.0, 9.0]]), films(2, 2))
    assert means.values.tolist() == means.flipped.tolist() == [[2.0, 7.0]]


def test_clusters_of_several_sizes_keep_the_mean_over_clips() -> None:
    values = rng(1).normal(0.4, 1.0, (5, 9))
    means = cluster_means(values, films(1, 2, 6))
    for clusters in (means.values, means.flipped):
        assert clusters.shape == (5, 3)
        assert clusters.mean(axis=-1) == pytest.approx(values.mean(axis=-1))
    # The spread is the ratio estimator's: sum of n_k^2 (m_k - m)^2 over (sum of n_k)^2, with K / (K - 1).
    own, sizes = values[0], np.array([1, 2, 6])
    parts = np.array([part.mean() for part in np.split(own, [1, 3])])
    variance = 1.5 * (sizes**2 * (parts - own.mean()) ** 2).sum() / 81
    assert over_units(means.values[0]).error == pytest.approx(variance**0.5)


def test_a_film_is_one_unit_of_every_test_over_clips() -> None:
    cells = -0.2 + rng(2).normal(0.0, 0.02, (8, 60))
    found = judged(clustered(cells, films(*[10] * 6)))
    assert (found.sizes, found.clusters, found.clustered) == ((1, 8, 60), 6, "film")
    by_film = cells.reshape(8, 6, 10).mean(axis=(0, 2))
    assert found.p_values["sign flip over clips"] == sign_flip_p(by_film, rng=rng()) == 2 ** (1 - 6)
    assert (found.smallest_p, found.stars) == (2 ** (1 - 6), "*")
    assert found.interval.unit == "seeds and films"
    assert found.generalises_over == "networks trained anew and other films, for this data set and these subjects"
    apart = judged(table(np.zeros((1, 8, 60)), cells[None]))
    assert apart.smallest_p == 2 ** (1 - 8)
    assert apart.clusters == 60


def test_intervals_and_equivalence_see_the_clusters() -> None:
    cells = np.repeat(rng(3).normal(0.0, 0.1, (1, 6)), 10, axis=1) + rng(4).normal(0.0, 0.01, (8, 60))
    margins = {"evaluate.made_up": 0.06}
    together, apart = (
        judged(clustered(cells, clusters), margins=margins) for clusters in (films(*[10] * 6), films(*[1] * 60))
    )
    assert together.interval.high - together.interval.low > 2 * (apart.interval.high - apart.interval.low)
    assert together.equivalence is not None
    assert apart.equivalence is not None
    assert together.equivalence.p > apart.equivalence.p
    assert together.difference == apart.difference


def test_five_films_earn_no_star_and_say_what_would() -> None:
    found = judged(clustered(-0.2 + rng(5).normal(0.0, 0.02, (8, 60)), films(*[12] * 5)))
    assert (found.p, found.smallest_p, found.stars) == (smallest_p(5), smallest_p(5), "")
    assert any("5 films allow no p below 0.0625" in text and "6 films are enough" in text for text in found.warnings)
    assert unattainable("clips", seeds=0, clips=1, alpha=0.05, family=1, clustered="film").startswith(
        "1 film allows no p below 1, "
    )


def test_clips_that_are_left_out_leave_their_cluster() -> None:
    cells = rng(6).normal(size=(8, 12))
    paired = clustered(cells, films(6, 6))
    paired.condition[0, 0, :6] = np.nan
    found = judged(paired)
    assert (found.sizes[2], found.clusters) == (6, 1)


def test_every_clip_has_a_cluster_or_none_has() -> None:
    with pytest.raises(ValueError, match="3 clusters are named, but there are 12 clips"):
        clustered(np.zeros((2, 12)), films(3))


def test_the_power_planner_counts_clusters() -> None:
    pilot = rng(7).normal(size=(4, 5))
    plan = seeds_needed(pilot, PowerTarget(0.5, clustered="film"))
    assert plan.seeds is None
    assert "5 films allow no p below" in plan.explanation
