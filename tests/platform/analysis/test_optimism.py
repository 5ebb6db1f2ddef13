"""By how much a search was too good: what is planted is found, with Student's interval over fresh seeds."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from platform.analysis.collect import AblationResult, collect_ablation
from platform.analysis.optimism import search_check
from platform.reporting.search_section import search_sentences, search_table
from storage.memory import MemoryStore
from tests.platform.noop_ablations import build, play, register

TEXT = """\
primary: [noop.value]
seeds: 6
unit: seeds
baseline: {noop.value: 1.0}
conditions:
  t0003: {noop.value: 0.5}
search: {study: small-12345678, metric: noop.value, points: 40, values: {baseline: 1.0, t0003: 0.4}}
"""
FRESH: Mapping[str, list[float | None]] = {
    "baseline": [1.1, 0.9, 1.0, 1.2, 0.8, 1.0],
    "t0003": [0.5, 0.6, 0.4, 0.55, 0.45, 0.5],
}


def result(tmp_path_factory: pytest.TempPathFactory, fresh: Mapping[str, list[float | None]]) -> AblationResult:
    """Return a finished ablation whose trials measured `fresh`: condition to one value per seed."""
    store, study = MemoryStore(), build(TEXT)
    register(study, store)
    play(study, store)
    collected = collect_ablation(store, study.id, cache=tmp_path_factory.mktemp("cache"))
    trials = {
        key: replace(trial, metrics={} if (value := fresh[key[0]][key[2]]) is None else {"noop.value": value})
        for key, trial in collected.trials.items()
    }
    return replace(collected, trials=trials)


def test_the_excess_is_the_distance_of_the_fresh_mean_from_the_searchs_value(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    check = search_check(result(tmp_path_factory, FRESH))
    assert check is not None
    best, base = check.points
    assert (best.condition, base.condition) == ("t0003", "baseline")
    values = (
        np.array(FRESH["t0003"], np.float64) - 0.4
    )  # smaller is better, so larger fresh values mean that it was too good
    oracle = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert best.too_good_by.value == pytest.approx(0.1)
    assert (best.too_good_by.low, best.too_good_by.high) == pytest.approx((oracle.low, oracle.high))
    assert best.gain_searched == pytest.approx(0.6)
    gains = np.array(FRESH["baseline"], np.float64) - np.array(FRESH["t0003"], np.float64)
    paired = stats.ttest_rel(FRESH["baseline"], FRESH["t0003"]).confidence_interval(0.95)
    assert (best.gain_confirmed.value, best.gain_confirmed.low) == pytest.approx((gains.mean(), paired.low))
    assert next(search_sentences(check)).startswith(
        "The value that the search found for t0003 was too good by 0.100 [0.026, 0.174]: 0.4 as the best of 40 comple"
    )
    assert "1 of 6 trainings at least as good" in next(search_sentences(check))
    assert search_table(check).rows[0][2].text == "0.500"


def test_a_lucky_seed_of_all_points_is_no_fault_of_the_choice(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The baseline, which nothing chose, is too good by as much: the lead over it is what the search promised."""
    promised: Mapping[str, list[float | None]] = {**FRESH, "baseline": [1.15, 1.05, 1.1, 1.2, 1.0, 1.1]}
    check = search_check(result(tmp_path_factory, promised))
    assert check is not None
    assert check.points[1].too_good_by.low > 0
    lead = list(search_sentences(check))[1]
    assert lead.startswith("Its lead over the baseline was 0.600 in the search and is 0.600 [")
    assert lead.endswith("it is not shown that the search made it look too large.")
    check = search_check(result(tmp_path_factory, {**FRESH, "t0003": [0.8, 0.85, 0.75, 0.8, 0.9, 0.7]}))
    assert check is not None
    assert list(search_sentences(check))[1].endswith("under fresh seeds: the search made it look too large.")


def test_a_search_that_was_not_too_good_is_not_said_to_be(tmp_path_factory: pytest.TempPathFactory) -> None:
    check = search_check(result(tmp_path_factory, {**FRESH, "t0003": [0.3, 0.5, 0.4, 0.45, 0.35, 0.4]}))
    assert check is not None
    assert "not shown to be too good" in next(search_sentences(check))


def test_a_failed_training_is_left_out_and_none_at_all_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    check = search_check(result(tmp_path_factory, {**FRESH, "t0003": [0.5, None, 0.5, 0.5, 0.5, 0.5]}))
    assert check is not None
    assert check.points[0].seeds == 5
    assert check.points[0].too_good_by.value == pytest.approx(0.1)
    nothing: list[float | None] = [None] * 6
    check = search_check(result(tmp_path_factory, {**FRESH, "t0003": nothing}))
    assert check is not None
    assert math.isnan(check.points[0].too_good_by.value)
    assert "no fresh training of it has ended yet" in next(search_sentences(check))


def test_an_ablation_of_no_search_has_no_such_part(tmp_path_factory: pytest.TempPathFactory) -> None:
    store, study = MemoryStore(), build(TEXT.partition("search:")[0])
    register(study, store)
    assert search_check(collect_ablation(store, study.id, cache=tmp_path_factory.mktemp("cache"))) is None


def test_the_key_search_is_checked() -> None:
    from tests.platform.noop_ablations import complaints

    assert (
        "there is no condition 't0004'; did you mean t0003?"
        in complaints(TEXT.replace("t0003: 0.4}", "t0004: 0.4}"))[0]
    )
    assert "there is no metric 'noop.valu'" in complaints(TEXT.replace("metric: noop.value", "metric: noop.valu"))[0]
    misspelt = complaints(TEXT.replace("{study:", "{studies:"))
    assert any("search.studies: there is no such key; did you mean study?" in line for line in misspelt)
