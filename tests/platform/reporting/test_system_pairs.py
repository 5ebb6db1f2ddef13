"""Systems compared clip by clip: against scipy, adjusted once for all, and on the clips of the table of means."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from platform.reporting.system_pairs import SystemPair, compare_systems, comparison_sheet, pair_json
from trainables.judging.score_tables import summarise_scores
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS

SSIM, EPE = CLIP_METRICS["ssim"], CLIP_METRICS["epe"]
SYSTEMS = ("a", "b", "c")
Scores = Mapping[tuple[str, str], NDArray[np.float64]]
"""System and metric to one value per clip."""


def scores(clips: int) -> Scores:
    """Values of three systems that find the same clips hard; `a` is the best in SSIM, and all are alike in EPE."""
    rng = np.random.default_rng(clips)
    hard, better = rng.normal(0.0, 0.1, clips), {"a": 0.08, "b": 0.0, "c": -0.02}
    ssim = {(name, "ssim"): 0.5 + hard + better[name] + rng.normal(0.0, 0.04, clips) for name in SYSTEMS}
    return {**ssim, **{(name, "epe"): 1.0 + rng.gamma(2.0, 0.2, clips) for name in SYSTEMS}}


def values(of: Scores, *, undefined: Sequence[tuple[str, str, int]] = ()) -> list[Value]:
    return [
        Value(system, "", f"clip{clip}", metric, None if (system, metric, clip) in undefined else float(score), "why")
        for (system, metric), row in of.items()
        for clip, score in enumerate(row)
    ]


def by_pair(pairs: Sequence[SystemPair]) -> dict[tuple[str, str, str], SystemPair]:
    return {(each.first, each.second, each.metric.short): each for each in pairs}


def flips(differences: NDArray[np.float64]) -> float:
    """Return scipy's p of the sign-flip test, of all flips."""
    test = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    return float(test.pvalue)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each p's smallest level at which Holm's procedure, as he states it, rejects."""
    order = np.argsort(p_values)
    levels = np.array([min(1.0, p * (len(p_values) - rank)) for rank, p in enumerate(p_values[order])])
    adjusted = np.empty_like(p_values)
    for rank, index in enumerate(order):  # rejected only if all with a smaller p are
        adjusted[index] = levels[: rank + 1].max()
    return adjusted


def test_twelve_clips_against_scipy() -> None:
    of = scores(12)
    pairs = compare_systems(values(of), (SSIM, EPE), SYSTEMS)
    assert len(pairs) == 6
    p_values = np.array([each.comparison.p for each in pairs])
    for each in pairs:
        first, second = of[each.first, each.metric.short], of[each.second, each.metric.short]
        assert each.comparison.difference == pytest.approx(first.mean() - second.mean())
        assert each.comparison.p == pytest.approx(flips(first - second))
        t_interval = stats.ttest_rel(first, second).confidence_interval(0.95)
        found = each.comparison.interval
        assert (found.method, found.low, found.high) == pytest.approx(("Student t", t_interval.low, t_interval.high))
    assert [each.comparison.p_holm for each in pairs] == pytest.approx(list(holm(p_values)))


def test_sixty_clips_against_scipy() -> None:
    of = scores(60)
    for each in compare_systems(values(of), (SSIM, EPE), SYSTEMS):
        differences = of[each.first, each.metric.short] - of[each.second, each.metric.short]
        bca = stats.bootstrap((differences,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(5))
        width = bca.confidence_interval.high - bca.confidence_interval.low
        found = each.comparison.interval
        ends = (bca.confidence_interval.low, bca.confidence_interval.high)
        assert found.method == "BCa"
        assert (found.low, found.high) == pytest.approx(ends, abs=0.05 * width)
        sampled = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=20_000, vectorized=True, rng=7
        )
        assert each.comparison.p == pytest.approx(sampled.pvalue, abs=0.02)


def test_what_differs_is_said_of_the_first_system_and_what_does_not_is_inconclusive() -> None:
    pairs = by_pair(compare_systems(values(scores(60)), (SSIM, EPE), SYSTEMS))
    assert [pairs["a", "b", "ssim"].result, pairs["a", "c", "ssim"].result] == ["a is better"] * 2
    assert [pairs[first, second, "epe"].result for first, second in combinations(SYSTEMS, 2)] == ["inconclusive"] * 3
    turned = by_pair(compare_systems(values(scores(60)), (SSIM,), ("c", "a")))
    assert turned["c", "a", "ssim"].result == "c is worse"


def test_differences_are_those_of_the_means_in_the_table() -> None:
    """A clip that only two of three systems have is in no mean, and so in no difference."""
    of = values(scores(12), undefined=[("c", "ssim", 3), ("a", "ssim", 7)])
    means = {(row.system, row.metric): row.mean for row in summarise_scores(of, (SSIM, EPE)) if row.control == ""}
    for each in compare_systems(of, (SSIM, EPE), SYSTEMS):
        first, second = means[each.first, each.metric.short], means[each.second, each.metric.short]
        assert first is not None
        assert second is not None
        assert each.comparison.difference == pytest.approx(first - second)
        assert each.comparison.sizes[2] == (10 if each.metric is SSIM else 12)


def test_few_clips_are_told_and_what_cannot_be_compared_counts_in_the_family() -> None:
    of = values(scores(3), undefined=[("c", "epe", clip) for clip in range(3)])
    pairs = compare_systems(of, (SSIM, EPE), SYSTEMS)
    sheet = comparison_sheet(pairs)
    assert [row[-1] for row in sheet.body[3:]] == ["inconclusive", "no common clip", "no common clip"]
    assert any("3 clips allow no p below 0.25, but a family of 6" in note for note in sheet.notes)
    rows = json.loads(json.dumps([pair_json(each) for each in pairs], allow_nan=False))
    assert {row["family"] for row in rows} == {6}
    assert rows[4]["difference"] is rows[4]["p"] is rows[4]["p_holm"] is rows[4]["low"] is None


def test_one_system_is_compared_with_none() -> None:
    assert compare_systems(values(scores(12)), (SSIM, EPE), ("a",)) == ()


def test_the_notes_claim_no_more_than_the_test_shows() -> None:
    notes = " ".join(comparison_sheet(compare_systems(values(scores(60)), (SSIM, EPE), SYSTEMS)).notes)
    assert "95% interval: BCa over clips" in notes
    assert "adjusted for all 6 comparisons" in notes
    assert "not for systems trained anew" in notes
    assert "Clips that were cut from one film are alike, and then p-values are too small" in notes
    assert "Too few" not in notes
