"""Specificity and variance components in a report: what was planted is found, and what was not is not claimed."""

from pathlib import Path

import numpy as np
import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.findings import Findings, analyse
from platform.analysis.specificity import specificities
from platform.analysis.variance import components_of
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
