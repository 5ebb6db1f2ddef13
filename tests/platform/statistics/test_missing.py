"""Gaps: each listed with its reason, and how far they could move the difference."""

import numpy as np
import pytest

from platform.statistics.missing import MissingValues, missing_values, worst_case
from platform.statistics.paired import NOT_RECORDED, pair
from tests.platform.statistics.null_simulations import metric, table

NAN = np.nan
SHARE = metric(low=0.0, high=1.0)


def test_each_gap_is_listed_by_trial_and_reason() -> None:
    found = pair(
        "x",
        metric(),
        baseline={("A", 0): {1: 1.0, 2: "black", 3: "black"}, ("A", 1): {1: 1.0, 2: 1.0, 3: 1.0}},
        condition={("A", 0): {1: 1.0, 2: 1.0, 3: 1.0}, ("A", 1): "out of memory"},
    )
    assert missing_values(found) == (
        MissingValues("baseline", "A", 0, "black", 2, whole_trial=False),
        MissingValues("condition", "A", 1, "out of memory", 3, whole_trial=True),
    )


def test_a_gap_without_a_reason_says_so() -> None:
    (found,) = missing_values(table(np.array([[[1.0, NAN]]]), np.ones((1, 1, 2))))
    assert found.reason == NOT_RECORDED


def test_bounds_by_hand() -> None:
    # Differences of the cells: known -0.5; condition missing: 0 - 0.75 to 1 - 0.75; both missing: -1 to 1; known 0.25.
    baseline = np.array([[[0.75, 0.75, NAN, 0.25], [0.75, 0.75, 0.5, 0.25]]])
    condition = np.array([[[0.25, NAN, NAN, 0.5], [0.25, 0.75, 0.5, 0.5]]])
    bounds = worst_case(table(baseline, condition, of=SHARE))
    assert bounds.low == pytest.approx((-0.5 - 0.75 - 1 + 0.25 - 0.5 + 0 + 0 + 0.25) / 8)
    assert bounds.high == pytest.approx((-0.5 + 0.25 + 1 + 0.25 - 0.5 + 0 + 0 + 0.25) / 8)
    assert bounds.assumed == "0 (end of the range) or 1 (end of the range)"


def test_without_gaps_both_bounds_are_the_difference() -> None:
    rng = np.random.default_rng(1)
    baseline, condition = rng.random((2, 2, 3, 4))
    bounds = worst_case(table(baseline, condition))
    assert bounds.low == pytest.approx(bounds.high) == pytest.approx((condition - baseline).mean())
    assert bounds.assumed == "nothing is missing"


def test_an_end_that_the_metric_lacks_is_the_most_extreme_observed() -> None:
    error = metric(goal="min", low=0.0)
    bounds = worst_case(table(np.array([[[1.0, 7.0]]]), np.array([[[2.0, NAN]]]), of=error))
    assert (bounds.low, bounds.high) == ((1.0 - 7.0) / 2, (1.0 + 0.0) / 2)
    assert bounds.assumed == "0 (end of the range) or 7 (most extreme observed)"


def test_a_clip_that_is_defined_nowhere_does_not_widen_the_bounds() -> None:
    bounds = worst_case(table(np.array([[[0.5, NAN]]]), np.array([[[0.25, NAN]]]), of=SHARE))
    assert (bounds.low, bounds.high) == (-0.25, -0.25)


def test_the_truth_lies_within_whatever_is_lost() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        whole = rng.random((2, 2, 3, 4))
        lost = np.where(rng.random(whole.shape) < rng.random(), NAN, whole)
        defined = np.isfinite(lost).any(axis=(0, 1, 2))
        if not defined.any():
            continue
        bounds = worst_case(table(lost[0], lost[1], of=SHARE))
        assert bounds.low - 1e-12 <= (whole[1] - whole[0])[..., defined].mean() <= bounds.high + 1e-12


def test_nothing_observed_has_no_bounds() -> None:
    bounds = worst_case(table(np.full((1, 1, 2), NAN), np.full((1, 1, 2), NAN), of=SHARE))
    assert np.isnan([bounds.low, bounds.high]).all()
    assert bounds.assumed == "nothing was observed"
