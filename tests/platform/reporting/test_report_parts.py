"""The parts of a report by themselves: numbers in words, axes, tables, chance."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.findings import Findings, analyse
from platform.analysis.measures import find_measure, measure_named
from platform.analysis.voxel_importance import agreement_by_chance
from platform.record.results import error_line
from platform.reporting.charts import figures
from platform.reporting.comparison_table import comparison_table
from platform.reporting.cost import costs
from platform.reporting.methods import methods
from platform.reporting.published import agreements
from platform.reporting.sentences import condition_label, sentence
from platform.reporting.tables import condition_table, main_table
from platform.reporting.words import bracket, decimals, number, p_text
from platform.study.design import Factorial
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import EPE, SSIM, STUDY, MadeUp, write_study
from trainables.pages.drawing import scale
from trainables.pages.grid import Cell, Grid
from trainables.pages.kit import render_template

ROW = ("label", "value")
"""Styles of what is written beside a bar."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Of a study in which the planted effect on SSIM goes against the paper's."""
    store, folder = MemoryStore(), tmp_path_factory.mktemp("parts")
    effects = {"wo_semantic": {}, "wo_structure": {SSIM: 0.1}, "wo_motion": {EPE: 0.4}, "renamed": {}}
    write_study(store, folder, MadeUp(seeds=7, clips=9, effects=effects, family=(("wo_motion", EPE),)))
    return analyse(collect_ablation(store, STUDY, cache=folder / "cache"))


@pytest.mark.parametrize(
    ("low", "high", "of", "places"),
    [(0.18, 0.25, 0.2, 3), (-2.0, 2.0, 1.0, 1), (-20.0, 20.0, 1.0, 0), (0.1, 0.1, 0.1234, 3), (0, math.nan, 0, 3)],
)
def test_as_many_decimals_as_the_interval_justifies(low: float, high: float, of: float, places: int) -> None:
    assert decimals(low, high, of=of) == places


def test_numbers_in_words() -> None:
    assert number(-0.125, 2, signed=True) == "−0.12"
    assert number(0.5, 1, signed=True) == "+0.5"
    assert number(-0.001, 2) == "0.00"
    assert number(math.nan, 2) == "–"
    assert bracket(math.nan, 1.0, 2) == ""
    assert [p_text(0.00001), p_text(0.0123), p_text(None)] == ["< 0.0001", "= 0.012", "= –"]
    assert error_line("Traceback\n  File x\nValueError: why\n") == "ValueError: why"


@pytest.mark.parametrize("values", [[0.0, 1.0], [-0.15, 0.03], [2.1, 2.5], [5.0, 5.0], [math.nan]])
def test_an_axis_has_two_to_six_round_ticks_within_it(values: list[float]) -> None:
    axis = scale(values, start=0, end=100)
    assert 2 <= len(axis.ticks) <= 6
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert all(0 <= axis(value) <= 100 for value in values if math.isfinite(value))


def test_conditions_begin_sentences() -> None:
    assert [condition_label(name) for name in ("wo_motion", "only_semantic", "alpha-0.5")] == [
        "Without motion",
        "With semantic alone",
        "Under alpha-0.5",
    ]


def test_metrics_have_titles_units_and_chance() -> None:
    assert measure_named(EPE).heading == "EPE (px) ↓"
    assert measure_named("evaluate.test_two_way_i").chance == "0.75"
    assert measure_named("evaluate.ssim").title == "SSIM (validation)"
    assert measure_named("motion.test_rollout_mse").chance == "", "the mean latent has a row of its own"
    assert measure_named("evaluate.test_shuffle_p_epe").chance == "0.5"
    assert measure_named("evaluate.test_shuffle_p_epe").heading == "P of shuffled order by EPE ↓"
    assert find_measure("semantic.no_such_thing") is None


def test_clips_that_are_left_out_of_a_mean_are_counted(findings: Findings) -> None:
    values = findings.tables[SSIM]
    assert values.undefined_clips == 0
    assert not any("left out" in note for note in main_table(findings).notes)
    row = values.by_condition["renamed"].copy()
    row[0, 1, :2] = row[0, 2, 1:3] = row[0, 3, :] = math.nan  # the last one is a trial that failed
    gaps = replace(values, by_condition={**values.by_condition, "renamed": row})
    notes = main_table(replace(findings, tables={**findings.tables, SSIM: gaps})).notes
    assert notes[-1].endswith("are excluded from the mean of a row: SSIM up to 3 of 9.")


def test_methods_tell_the_metrics_of_the_family_not_all_primary_ones(findings: Findings) -> None:
    assert "Before the first trial, 1 comparison in EPE, the number of seeds" in methods(findings)


def test_the_cell_that_the_baseline_has_is_named(findings: Findings) -> None:
    cells = {"depth-2": "baseline", "depth-3": "renamed"}
    design = findings.result.design.model_copy(
        update={"baseline": {"dataset.noise": 1.0}, "factorial": Factorial(cells=cells)}
    )
    registration = replace(findings.result.registration, design=design)
    table = condition_table(replace(findings, result=replace(findings.result, registration=registration)))
    assert table.rows[0] == (Cell("baseline", ("depth-2",)), Cell("dataset.noise: 1.0", tone="prose"))


@pytest.mark.parametrize("name", ["temporal_fusion-adaln.spatial_fusion-adaln", "wo_motion"])
def test_a_long_name_and_its_figures_do_not_lie_on_each_other(tmp_path: Path, name: str) -> None:
    store = MemoryStore()
    made = MadeUp(seeds=3, clips=4, effects={name: {EPE: 0.4}}, family=((name, EPE),), published=False)
    write_study(store, tmp_path, made)
    drawn = figures(analyse(collect_ablation(store, STUDY, cache=tmp_path / "cache")), (), ())["effects"]
    texts = [text for panel in drawn for text in ET.fromstring(panel.svg()).iter("text")]
    places = {kind: {float(text.attrib["y"]) for text in texts if text.attrib["class"] == kind} for kind in ROW}
    together = places["label"] & places["value"]
    assert together == (places["label"] if name == "wo_motion" else set()), places


def test_random_orders_agree_less_than_the_level_says() -> None:
    assert agreement_by_chance(8) == pytest.approx(0.643, abs=0.03)  # the tabled critical value of Spearman's rho


def test_html_is_escaped_and_latex_too(tmp_path: Path) -> None:
    grid = Grid("a & b", ("x", "y"), ((Cell("<b>"), Cell("1_2", ("[−1, 2]",), "worse")), (Cell("g", tone="group"),)))
    template = tmp_path / "one_table.html"
    template.write_text(
        '{% extends "page.html" %}{% import "kit.html" as kit %}{% block content %}{{ kit.table(grid) }}{% endblock %}'
    )
    html = render_template(template, title="<i>", grid=grid)
    assert "<b>" not in html
    assert "<i>" not in html
    assert 'colspan="2"' in html
    assert r"\caption{a \& b}" in grid.latex()
    assert r"$<$b$>$ & \begin{tabular}[t]{@{}r@{}}1\_2 $\blacktriangledown$\\ {[}$-$1, 2]\end{tabular}" in grid.latex()


def test_a_column_that_no_comparison_fills_is_left_out(findings: Findings) -> None:
    assert any(each.equivalence is not None for each in findings.declared)
    assert "p (same)" in comparison_table(findings.declared, findings, title="t").header
    bare = [replace(each, equivalence=None) for each in findings.declared]
    grid = comparison_table(bare, findings, title="t")
    assert "p (same)" not in grid.header
    assert all(len(row) == len(grid.header) for row in grid.rows)
    assert not any("declared margin" in note for note in grid.notes)


def test_texts_are_read_from_the_left_and_numbers_stand_below_each_other() -> None:
    rows = (
        (Cell("a"), Cell("worse"), Cell("−0.5"), Cell("–"), Cell("short", tone="prose")),
        (Cell("b"), Cell("3 dots"), Cell("p < 0.1"), Cell(""), Cell("–")),
        (Cell("c"), Cell("–"), Cell("–"), Cell("< 0.01"), Cell("")),
    )
    grid = Grid("t", ("name", "verdict", "p", "rate", "why"), rows)
    assert [grid.column_class(column) for column in range(5)] == ["text", "", "", "", "prose"]
    assert r"\begin{longtable}{lrrrl}" in grid.latex(), "short texts need no lines of their own width"
    only_texts = Grid("t", ("name", "verdict"), tuple((Cell(name), Cell("worse")) for name in "ab"))
    assert only_texts.column_class(1) == "text"
    assert r"\begin{longtable}{ll}" in only_texts.latex()


def test_what_goes_against_the_paper_is_called_opposite(findings: Findings) -> None:
    (table,) = agreements(findings)
    cells = {(cell.condition, cell.metric): cell for cell in table.cells}
    assert cells["wo_structure", SSIM].direction == "opposite"
    assert cells["wo_motion", EPE].direction == "agrees"
    ranking = next(one for one in table.rankings if one.metric == SSIM)
    assert ranking.conditions == 3, "the baseline is the reference, not one of the conditions"
    assert ranking.p * 6 == pytest.approx(round(ranking.p * 6)), "six orders of three"
    assert ranking.p >= 1 / 6


def test_outside_the_family_nothing_is_adjusted_or_starred(findings: Findings) -> None:
    one = findings.comparisons["wo_structure", SSIM]
    assert not findings.is_declared(("wo_structure", SSIM))
    assert (one.stars, one.p_holm, one.verdict) == ("", None, "better")
    assert "improves by 0.1" in sentence(one, measure_named(SSIM))
    assert "p (not adjusted) = 0.016, 7 seeds, 9 clips" in sentence(one, measure_named(SSIM))


def test_inconclusive_is_not_called_no_difference(findings: Findings) -> None:
    one = replace(findings.declared[0], verdict="inconclusive", p_holm=0.2, smallest_p=0.001)
    assert sentence(one, measure_named(EPE)).endswith(
        "This is inconclusive; it does not show that there is no difference."
    )


def test_a_shared_stage_run_is_counted_once(findings: Findings) -> None:
    data, evaluate = costs(findings.result.trials.values())
    assert (data.needed, data.distinct, data.seconds, data.alone) == (35, 1, 10.0, 350.0)
    assert (evaluate.needed, evaluate.distinct) == (35, 35)
