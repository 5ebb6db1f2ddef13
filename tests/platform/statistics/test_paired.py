"""Tables of two conditions: what is laid beside what, and what the listwise rule leaves."""

import numpy as np
import pytest

from platform.statistics.paired import TableIndex, complete_cases, pair
from platform.statistics.resampling import sign_flip_p
from tests.platform.statistics.null_simulations import at_most, metric, table

NAN = np.nan


def test_pair_aligns_by_subject_seed_and_clip_and_keeps_reasons() -> None:
    found = pair(
        "wo_motion",
        metric(),
        baseline={("A", 1): {10: 1.0, 11: 2.0}, ("A", 0): {11: 4.0, 10: 3.0}},
        condition={("A", 0): {10: 5.0, 11: "no motion in the clip"}, ("A", 1): "out of memory"},
    )
    assert (found.subjects, found.seeds, found.clips) == (("A",), (0, 1), (10, 11))
    assert found.baseline.tolist() == [[[3.0, 4.0], [1.0, 2.0]]]
    assert np.array_equal(found.condition, [[[5.0, NAN], [NAN, NAN]]], equal_nan=True)
    assert found.reasons[TableIndex("condition", 0, 0, 1)] == "no motion in the clip"
    assert found.reasons[TableIndex("condition", 0, 1, 0)] == "out of memory"


def test_a_trial_or_clip_that_only_one_condition_has_is_missing_in_the_other() -> None:
    found = pair("x", metric(), baseline={("A", 0): {1: 1.0}, ("A", 1): {1: 1.0}}, condition={("A", 0): {2: 1.0}})
    assert found.reasons[TableIndex("condition", 0, 1, 0)] == "no such trial"
    assert found.reasons[TableIndex("baseline", 0, 0, 1)] == "no such clip in the trial"


def test_listwise_leaves_out_subjects_then_seeds_then_clips() -> None:
    baseline = np.arange(36.0).reshape(3, 3, 4)
    condition = baseline + 1
    condition[2] = NAN  # subject 2 never worked
    baseline[:, 1] = NAN  # a seed failed for all
    condition[1, 1, 0] = NAN  # does not matter: that seed is out
    condition[1, 2, 3] = NAN  # an undefined clip
    kept = complete_cases(table(baseline, condition))
    assert (kept.subjects, kept.seeds, kept.clips) == (("S0", "S1"), (0, 2), (0, 1, 2))
    assert kept.baseline.shape == (2, 2, 3)
    assert kept.differences.tolist() == [[1.0] * 3] * 2
    assert not kept.filled.any()


def test_a_seed_that_failed_for_one_subject_has_what_subjects_and_seeds_predict() -> None:
    """Subjects differ in level and in effect; the seed adds to both. With nothing else, the filled trial is exact."""
    level, effect, seeds = np.array([1.0, 5.0, 9.0]), np.array([0.2, 0.4, 0.6]), np.array([0.0, 0.3, -0.1, 0.2])
    shape = (3, 4, 2)
    baseline = np.broadcast_to(level[:, None, None], shape).copy()
    condition = baseline + effect[:, None, None] + seeds[None, :, None]
    expected = (condition - baseline).mean(axis=0)[:, 0]
    condition[0, 0] = NAN
    kept = complete_cases(table(baseline, condition))
    assert kept.seeds == (0, 1, 2, 3)
    assert kept.filled.tolist() == [[True, False, False, False], [False] * 4, [False] * 4]
    assert np.isfinite(kept.condition).all()
    assert (kept.condition - kept.baseline)[0, 0, 0] == pytest.approx(effect[0] + seeds[0])
    assert kept.differences[:, 0] == pytest.approx(expected)


def test_failures_of_single_subjects_keep_the_level() -> None:
    rng, rejected = np.random.default_rng(5), []
    for _ in range(400):
        baseline, condition = rng.normal(size=(2, 3, 8, 1)) + rng.normal(size=(1, 1, 8, 1)) * 2
        condition[rng.random((3, 8)) < 0.1] = NAN
        kept = complete_cases(table(baseline, condition))
        rejected.append(float(sign_flip_p(kept.differences[:, 0], rng=rng)) <= 0.05)
    assert at_most(np.array(rejected), 0.05)


def test_nothing_left_is_empty() -> None:
    assert complete_cases(table(np.ones((2, 3, 4)), np.full((2, 3, 4), NAN))).empty
    assert not complete_cases(table(np.ones((2, 3, 4)), np.ones((2, 3, 4)))).empty


def test_differences_average_over_subjects() -> None:
    rng = np.random.default_rng(0)
    baseline, condition = rng.random((2, 2, 3, 4))
    assert complete_cases(table(baseline, condition)).differences == pytest.approx((condition - baseline).mean(axis=0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((1, 2, 4)), r"shape \(1, 2, 4\), but \(1, 2, 3\)"),
        (np.full((1, 2, 3), 1.5), "1.5 lies outside the metric's range 0.0 to 1.0"),
        (np.full((1, 2, 3), np.inf), "infinite"),
    ],
)
def test_a_wrong_table_is_refused(values: np.ndarray, message: str) -> None:
    good = table(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), of=metric(low=0.0, high=1.0))
    with pytest.raises(ValueError, match=f"wo_it, evaluate.made_up, condition: .*{message}"):
        type(good)(good.name, good.metric, good.baseline, values, good.subjects, good.seeds, good.clips)
