"""Specificity and variance components in a report: what was planted is found, and what was not is not claimed."""

from pathlib import Path

import numpy as np
import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.findings import Findings, analyse
from platform.analysis.specificity import specificities
from platform.analysis.variance import components_of
from platform.reporting.contrast_section import contrast_sections
from platform.reporting.variance_section import variance_sections
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import EPE, SSIM, STUDY, MadeUp, write_study

FAMILY = (("wo_structure", SSIM), ("wo_motion", EPE))


def findings(folder: Path, **changed: object) -> Findings:
    store = MemoryStore()
    made = MadeUp(**{"seeds": 9, "clips": 10, "published": False, "margins": {}, "family": FAMILY, **changed})  # type: ignore[arg-type]
    write_study(store, folder, made)
    return analyse(collect_ablation(store, STUDY, cache=folder / "cache"))


def test_each_condition_costs_its_own_metric_more(tmp_path: Path) -> None:
    found = findings(tmp_path)
    (tested,) = specificities(found)
    assert (tested.first, tested.second) == FAMILY
    spans = {metric: found.span(metric) for metric in (SSIM, EPE)}
    own, crossed, other_crossed, other = (
        found.differences[pair].value / (spans[pair[1]] or np.nan) for pair in tested.crossed
    )
    assert tested.comparison.difference == pytest.approx((own - other_crossed) - (crossed - other))
    assert tested.comparison.difference < 0
    specific, _ = variance_sections(found)
    assert specific.grids[0].rows[0][-1].text == "specific"


def test_a_condition_that_costs_both_metrics_as_much_is_not_specific(tmp_path: Path) -> None:
    both = {SSIM: -0.1, EPE: 0.3}
    found = findings(tmp_path, effects={"wo_structure": both, "wo_motion": both})
    section, _ = variance_sections(found)
    assert section.grids[0].rows[0][-1].text == "not shown"


def test_a_condition_that_costs_both_metrics_more_is_not_specific(tmp_path: Path) -> None:
    """As in Table 6 on the phantom: without structure, EPE grows four times as much as without motion."""
    found = findings(tmp_path, effects={"wo_structure": {SSIM: -0.14, EPE: 0.4}, "wo_motion": {EPE: 0.1}})
    (tested,) = specificities(found)
    assert tested.comparison.p <= 0.05
    assert tested.comparison.difference < 0, "the contrast alone speaks for specificity"
    assert tested.in_first.difference < 0 < tested.in_second.difference
    section, _ = variance_sections(found)
    assert section.grids[0].rows[0][-1].text == "unequal"


def test_what_so_few_films_cannot_show_is_not_called_absent(tmp_path: Path) -> None:
    found = findings(tmp_path, clips=12, film_clips=3, subjects=(0, 1))
    section, _ = variance_sections(found)
    assert section.grids[0].rows[0][-1].text == "cannot be tested"
    (alone,) = contrast_sections(found)
    for row in alone.grids[0].rows:
        assert row[-1].text == "–"
        assert row[-1].small == ("smallest possible p 0.12",)


def test_a_quantity_with_a_missing_trial_is_named(tmp_path: Path) -> None:
    found = findings(tmp_path, subjects=(0, 1), failed=frozenset({"wo_motion-u0-s3"}))
    _, section = variance_sections(found)
    assert section.grids[0].notes[-1].endswith("a trial is missing or a factor has one level: wo_motion in EPE.")


def test_shares_of_variance_add_up_for_the_baseline_and_the_declared_difference(tmp_path: Path) -> None:
    found = findings(tmp_path, subjects=(0, 1), film_clips=5)
    components = list(components_of(found))
    assert {("baseline", SSIM), ("wo_structure", SSIM), ("wo_motion", EPE)} <= {
        (each.condition, each.measure.name) for each in components
    }
    for each in components:
        assert sum(each.components.shares.values()) == pytest.approx(1.0)
        assert {"subject", "seed", "cluster", "clip within cluster", "residual"} <= each.components.variances.keys()


def test_clips_of_each_seed_alone_are_no_factor(tmp_path: Path) -> None:
    found = findings(tmp_path, subjects=(0, 1), vary=("train", "data"))
    assert all("clip" not in " ".join(each.components.variances) for each in components_of(found))
    assert all("seed and data draw" in each.components.variances for each in components_of(found))
