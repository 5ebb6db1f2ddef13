"""The report of an ablation in several data sets: each by itself, one family, and a summary side by side."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from platform.analysis.collect import collect_ablation, collect_data_sets
from platform.analysis.findings import Findings, analyse, analyse_data_sets, declared_comparisons
from platform.analysis.known_effects import effects_in_store
from platform.analysis.power import power_table
from platform.mlflow_view.attached_report import _tags
from platform.reporting.data_set_summary import data_sets_grid, effects_grid
from platform.reporting.data_sets import DataSetsReport, build_data_sets_report
from platform.reporting.making import make_report, report_json
from platform.reporting.texts import report_page, write_texts
from platform.statistics.compare import compare_families, compare_family
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.multiplicity import holm
from platform.statistics.paired import PairedTable
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import EFFECTS, EPE, SSIM, STUDY, TWO_WAY, MadeUp, write_study
from trainables.metrics.registry import metric_named

AT_FLOOR = {"static": 0.0, "shuffled_fmri": 0.0, "ceiling": 0.1}
"""Controls that are as good as the system."""
SETS = {
    "quiet": MadeUp(ceiling="30 % of a voxel"),
    "films": MadeUp(subjects=(1, 4), clips=40, film_clips=2, failed=frozenset(("renamed-films-u1-s2",))),
    "weak": MadeUp(effects={**EFFECTS, "wo_motion": {}, "wo_structure": {SSIM: 0.1}}, controls=AT_FLOOR),
}
MADE = MadeUp(seeds=9, datasets={name: replace(each, seeds=9) for name, each in SETS.items()})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    store = MemoryStore()
    write_study(store, tmp_path_factory.mktemp("scratch"), MADE)
    return store


@pytest.fixture(scope="module")
def parts(store: MemoryStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, ...]:
    return analyse_data_sets(collect_data_sets(store, STUDY, cache=tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def report(store: MemoryStore, tmp_path_factory: pytest.TempPathFactory) -> DataSetsReport:
    results = collect_data_sets(store, STUDY, cache=tmp_path_factory.mktemp("cache"))
    return build_data_sets_report(results, store="memory")


def test_each_data_set_has_its_own_trials_subjects_and_clips(parts: tuple[Findings, ...]) -> None:
    found = {each.result.dataset: each.result for each in parts}
    assert {name: result.subjects for name, result in found.items()} == {"quiet": (0,), "films": (1, 4), "weak": (0,)}
    assert {name: len(result.trials) for name, result in found.items()} == {"quiet": 45, "films": 90, "weak": 45}
    assert {name: len(result.clips(SSIM).clips) for name, result in found.items()} == {
        "quiet": 12,
        "films": 40,
        "weak": 12,
    }
    assert found["films"].trials["renamed", 1, 2].name == "renamed-films-u1-s2"
    assert [trial.name for trial in found["films"].unusable] == ["renamed-films-u1-s2"]
    assert found["quiet"].unusable == ()


def test_a_study_with_several_data_sets_is_not_read_as_one(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has several data sets \(quiet, films, weak\); collect_data_sets reads them"):
        collect_ablation(store, STUDY, cache=tmp_path)


def test_a_data_set_is_analysed_as_it_would_be_alone_but_for_the_adjustment(tmp_path: Path) -> None:
    """The oracle: the same values in a study of one data set."""
    alone = MemoryStore()
    write_study(alone, tmp_path / "alone", MADE.datasets["weak"])
    expected = analyse(collect_ablation(alone, STUDY, cache=tmp_path / "cache"))
    both = MemoryStore()
    write_study(both, tmp_path / "both", MADE)
    found = analyse_data_sets(collect_data_sets(both, STUDY, cache=tmp_path / "cache2"))[2]
    assert found.means == expected.means
    for mine, other in zip(found.declared, expected.declared, strict=True):
        assert (mine.difference, mine.interval, mine.p, mine.sizes) == (
            other.difference,
            other.interval,
            other.p,
            other.sizes,
        )
        assert (mine.family, other.family) == (12, 4)
        assert mine.p_holm is not None
        assert other.p_holm is not None
        assert mine.p_holm >= other.p_holm


def test_the_comparisons_of_all_data_sets_are_one_family(parts: tuple[Findings, ...]) -> None:
    declared = [comparison for each in parts for comparison in each.declared]
    assert [comparison.p_holm for comparison in declared] == list(holm([comparison.p for comparison in declared]))
    assert len(declared) == 12
    assert declared_comparisons([each.result for each in parts]) == tuple(each.declared for each in parts)
    tests = [test for each in parts for test in each.control_tests]
    assert [test.p_holm for test in tests] == list(holm([test.p for test in tests]))


def test_equivalence_is_one_family_too() -> None:
    rng, metric = np.random.default_rng(0), metric_named("evaluate.test_ssim")
    assert metric is not None

    def table(name: str, shift: float) -> PairedTable:
        base = rng.uniform(0.3, 0.5, (1, 9, 1))
        after = base + shift + rng.normal(0, 0.01, base.shape)
        return PairedTable(name, metric, base, after, ("0",), tuple(range(9)), (0,), {})

    plans = [ComparisonPlan(unit="seeds", margins={metric.name: 0.05}, dataset=name) for name in ("a", "b")]
    tables = [[table("x", 0.0), table("y", 0.02)], [table("x", 0.03)]]
    families = compare_families(list(zip(tables, plans, strict=True)))
    found = [each.equivalence for family in families for each in family]
    p_values = [each.p for each in found if each is not None]
    assert [each.p_holm for each in found if each is not None] == list(holm(p_values))
    assert [each.name for family in families for each in family] == ["x", "y", "x"]
    assert families[1][0].generalises_over.endswith("for the data set b and these subjects")
    alone = compare_family(tables[0], ComparisonPlan(unit="seeds", margins={metric.name: 0.05}))
    assert alone[0].generalises_over.endswith("for this data set and these subjects")


def test_the_summary_says_where_a_claim_holds(report: DataSetsReport) -> None:
    answers = {text.partition(":")[0]: (tone, text) for tone, text in report.conclusions}
    tone, text = answers["Without semantic, 2-way-I"]
    assert tone == "worse"
    assert text.count("worse in quiet (") == text.count("films (") == text.count("weak (") == 1
    assert text.endswith("the difference is a loss in 3 of 3 data sets.")
    assert "baseline at its controls" in text.partition("weak")[2]
    assert "baseline at its controls" not in text.partition("weak")[0]
    tone, text = answers["Without structure, SSIM"]
    assert tone == ""
    assert "; better in weak (" in text
    assert text.endswith("a loss in 2 of 3 data sets.")
    assert "not decided in weak" in answers["Without motion, EPE"][1]
    last = report.conclusions[4][1]
    assert last.startswith("Claims are of quiet, films and weak, each by itself: nothing is averaged or tested over")


def test_effects_stand_side_by_side(parts: tuple[Findings, ...]) -> None:
    grid = effects_grid(parts)
    assert grid.header == ("condition", "metric", "quiet", "films", "weak", "direction", "claim holds for")
    rows = {(row[0].text, row[1].text.split()[0]): row for row in grid.rows}
    structure = rows["wo_structure", "SSIM"]
    assert [cell.tone for cell in structure[2:5]] == ["worse", "worse", "better"]
    assert structure[6].text == "worse: quiet and films; better: weak"
    assert any(line.startswith("share ") for line in structure[2].small)
    assert rows["wo_motion", "EPE"][6].text == "worse: quiet and films"
    assert "baseline at its controls" in rows["wo_motion", "EPE"][4].small
    assert "baseline at its controls" in rows["wo_semantic", "2-way-I"][4].small, "also beside a significant loss"
    assert "baseline at its controls" not in rows["wo_semantic", "2-way-I"][3].small
    exploratory = rows["wo_motion", "SSIM"]
    assert all(cell.text.endswith("°") for cell in exploratory[2:5])
    assert exploratory[6].text == "–", "an exploratory comparison claims nothing"
    standing = {row[0].text: row[4].text for row in data_sets_grid(parts).rows}
    assert standing == {name: f"{above} of 3 tested metrics" for name, above in zip(SETS, (3, 3, 0), strict=True)}
    overlap = {row[0].text: row[5].text for row in data_sets_grid(parts).rows}
    assert overlap == {"quiet": "0.71", "films": "–", "weak": "–"}


def test_each_data_set_has_its_own_panel(report: DataSetsReport, tmp_path: Path) -> None:
    titles = [section.title for section in report.sections]
    assert titles[0] == "All data sets"
    for name in SETS:
        assert f"{name}: Conditions and metrics" in titles
        assert f"{name}: Baseline against its controls" in titles
    assert "quiet: Overlap of test and training clips" in titles
    assert "films: Missing and failed" in titles
    assert "weak: Missing and failed" not in titles
    page = write_texts(report, tmp_path)
    figures = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"data-sets-in-ssim", "quiet-effects-in-ssim", "weak-effects-in-ssim"} <= figures
    assert len(figures) == sum(len(section.panels) for section in report.sections), "none overwrites another"
    assert page.read_text() == report_page(report)
    assert "## films: Conditions and metrics" in (tmp_path / "report.md").read_text()


def test_facts_and_methods_name_data_sets_where_they_differ(report: DataSetsReport) -> None:
    facts = dict(report.facts)
    assert facts["family"] == "12 comparisons in 3 data sets, level 0.05 after Holm"
    assert (facts["planned, quiet"], facts["planned, films"]) == ("1 subject, 9 seeds", "2 subjects, 9 seeds")
    assert facts["primary"] == "2-way-I, SSIM and EPE"
    assert "for the data set films and these subjects" in facts["holds for, films"]
    assert "no values of two data sets were compared or averaged" in report.methods
    assert "In films: We compared 4 conditions" in report.methods
    assert "adjusted by Holm's method over the primary metrics of all data sets" in report.methods
    assert report.alerts == ("films: 1 trial failed: see “Missing and failed” for the reasons and worst-case bounds.",)


def test_files_have_a_column_for_the_data_set(store: MemoryStore, tmp_path: Path) -> None:
    page, report = make_report(store, STUDY, tmp_path)
    assert page == tmp_path / "report.html"
    with (tmp_path / "comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["dataset", "condition", "metric"]
    assert {row["dataset"] for row in rows} == set(SETS)
    for name in ("controls", "means", "trials", "published", "order"):
        assert pq.read_table(tmp_path / f"{name}.parquet").column_names[0] == "dataset"
    assert len(pq.read_table(tmp_path / "trials.parquet")) == 180
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers == report_json(report)
    tags = dict(_tags(answers))
    assert tags[f"verdict.weak.wo_structure.{SSIM}"] == "better"
    assert tags[f"verdict.quiet.wo_structure.{SSIM}"] == "worse"
    assert tags[f"controls.weak.{EPE}"].startswith("the baseline is not shown")


def test_power_and_known_effects_are_of_each_data_set(store: MemoryStore, tmp_path: Path) -> None:
    results = collect_data_sets(store, STUDY, cache=tmp_path)
    names = list(power_table(results, f"{TWO_WAY}=0.05").columns[0].cells)
    assert names == ["quiet: wo_semantic", "films: wo_semantic", "weak: wo_semantic"]
    assert list(effects_in_store(store, [TWO_WAY], cache=tmp_path, besides="")) == [], "no number per trial is recorded"


def test_a_data_set_without_results_is_said_to_have_none(tmp_path: Path) -> None:
    store = MemoryStore()
    waiting = frozenset(f"{condition}-quiet-u0-s{seed}" for condition in ("baseline", *EFFECTS) for seed in range(9))
    sets = {**MADE.datasets, "quiet": replace(MADE.datasets["quiet"], waiting=waiting)}
    write_study(store, tmp_path / "scratch", replace(MADE, datasets=sets))
    report = build_data_sets_report(collect_data_sets(store, STUDY, cache=tmp_path / "cache"), store="memory")
    assert all(math.isnan(each.difference) for each in report.parts["quiet"].findings.declared)
    assert any(alert.startswith("quiet: Not finished: 45 of 45 trials") for alert in report.alerts)
    text = next(text for _, text in report.conclusions if text.startswith("Without semantic, 2-way-I"))
    assert "not decided in quiet (no values)" in text
    assert text.endswith("a loss in 2 of 3 data sets.")


def test_a_study_without_results_counts_the_trials_of_each_data_set_and_no_direction(tmp_path: Path) -> None:
    """Three data sets of equal size are not one study of that size."""
    store, name = MemoryStore(), next(iter(MADE.datasets))
    waiting = frozenset(f"{condition}-{name}-u0-s{seed}" for condition in ("baseline", *EFFECTS) for seed in range(9))
    one = replace(MADE.datasets[name], waiting=waiting)
    others = {f"{name}{copy}": frozenset(t.replace(f"-{name}-", f"-{name}{copy}-") for t in waiting) for copy in (2, 3)}
    sets = {name: one, **{other: replace(one, waiting=trials) for other, trials in others.items()}}
    write_study(store, tmp_path / "scratch", replace(MADE, datasets=sets))
    report = build_data_sets_report(collect_data_sets(store, STUDY, cache=tmp_path / "cache"), store="memory")
    assert dict(report.facts)["trials, each data set"] == "0 of 45 ended"
    assert any(alert.startswith("in each data set: Not finished: 45 of 45 trials") for alert in report.alerts)
    text = next(text for _, text in report.conclusions if text.startswith("Without semantic, 2-way-I"))
    assert (
        text
        == f"Without semantic, 2-way-I: not decided in {name} (no values), {name}2 (no values) and {name}3 (no values)."
    )
