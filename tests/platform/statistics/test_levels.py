"""How often tests reject where nothing differs but their assumptions fail: the levels that reports state."""

import numpy as np
import pytest

from benchmarks.levels import SHAPES, false_sameness, rejections, stopping_rejections
from platform.statistics.levels import TRUE_LEVELS, Shape, far_seeds, level_note, not_excluded
from tests.platform.statistics.null_simulations import about, at_least, at_most

STUDIES = 1500


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seeds", [7, 11])
def test_the_stated_levels_are_those_of_the_tests(shape: Shape, seeds: int) -> None:
    over_seeds, both = TRUE_LEVELS[shape][seeds]
    hits = rejections(shape, seeds=seeds, studies=STUDIES, seed=7)
    assert about(hits.seeds, over_seeds)
    assert about(hits.both, both)


def test_seeds_that_are_added_until_a_star_cost_the_level_which_registered_seeds_keep() -> None:
    looks, registered = stopping_rejections(first=7, last=16, studies=STUDIES, seed=8)
    assert at_least(looks, 0.1)
    assert at_most(registered, 0.05)


@pytest.mark.parametrize("seeds", [7, 11])
def test_sameness_does_not_see_what_few_trainings_do_and_the_report_says_how_many(seeds: int) -> None:
    """One in twenty diverges: as often as no seed does, nothing can be seen, and this rate is not excluded."""
    concluded = false_sameness(0.05, seeds=seeds, studies=400, seed=9)
    assert about(concluded, 0.95**seeds)
    stated = float(not_excluded(seeds).split("up to ")[1].split("%")[0]) / 100
    assert 0.05 < stated == pytest.approx(1 - 0.05 ** (1 / seeds), abs=0.005)


def test_the_note_names_the_levels_of_a_known_number_of_seeds_that_is_not_larger() -> None:
    note = level_note("both", seeds=10)
    assert "(9 seeds, simulated: normal 0.05, exponential" in note
    assert f"one in ten diverges {TRUE_LEVELS['one in ten diverges'][9][1]:.2f}" in note
    assert "up to 26% of trainings may not have been seen in 10 seeds" in note
    assert level_note("clips", seeds=10) == level_note("seeds", seeds=3) == ""


def test_far_seeds_are_rare_without_a_reason() -> None:
    rows = np.random.default_rng(3).standard_normal((2000, 9))
    assert at_most(np.array([far_seeds(row.tolist()) > 0 for row in rows]), 0.04)
    assert far_seeds([0.1, 0.12, 0.09, 0.11, 0.1, -3.0, 0.13]) == 1
    assert far_seeds([0.1] * 9) == 0
