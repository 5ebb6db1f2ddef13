"""The report of made-up ablations: the verb, its files, and that what is planted is what is said."""

import csv
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.findings import analyse
from platform.errors import UserError
from platform.report import main
from platform.reporting.control_standing import control_grid
from platform.reporting.making import make_report
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.studies import save_study
from tests.platform.reporting.made_up_ablation import EPE, SSIM, STUDY, TWO_WAY, MadeUp, write_study
from tests.programs import ROOT, program

FULL = MadeUp(subjects=(0, 1), seeds=9, clips=10, importance=True, failed=frozenset({"wo_motion-u0-s3"}))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished ablation whose report was written by the verb."""
    folder = tmp_path_factory.mktemp("home")
    write_study(LocalStore(folder / "store"), folder / "scratch", FULL)
    assert main([STUDY, "--home", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def report(home: Path) -> Path:
    return home / "reports" / STUDY


def test_planted_effects_are_said_in_sentences(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    assert re.search(
        r"^- Without structure, SSIM worsens by 0\.1\d+ \[.*p \(Holm\) = 0\.016, 9 seeds, 2 subjects", text, re.M
    )
    assert re.search(
        r"^- Without motion, EPE worsens by 0\.[34]\d* px .*9 seeds, 2 subjects.* 1 trial failed: with the most",
        text,
        re.M,
    )
    assert re.search(r"^- Under renamed, SSIM is the same to within the declared 0\.03", text, re.M)
    assert "No trial is missing" not in text


def test_the_baseline_is_tested_against_its_controls_before_all_else(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("- "))
    assert first.startswith("- The baseline is better than every control that knows nothing of the clip (")
    assert "another clip's fMRI" in first
    assert first.endswith("in 2-way-I, SSIM and EPE: p (Holm) ≤ 0.012.")
    rows = pq.read_table(report / "controls.parquet").to_pylist()
    compared = {(row["metric"], row["control"]) for row in rows}
    still = {(EPE, "static")}  # a still frame of the clip knows nothing of its motion alone
    assert compared == still | {(name, one) for name in FULL.design.primary for one in ("shuffled_fmri", "random_clip")}
    assert all(row["p_better_than_all_holm"] == pytest.approx(3 / 2**8) for row in rows)
    answers = json.loads((report / "answers.json").read_text(encoding="utf-8"))
    assert [row["control"] for row in answers["controls"]] == [row["control"] for row in rows]
    assert "| SSIM ↑ | another clip's fMRI |" in text
    assert r"another clip's fMRI" in (report / "report.tex").read_text(encoding="utf-8")


def test_a_baseline_that_only_finds_training_clips_is_named(tmp_path: Path) -> None:
    """The control shows a training clip: what it scores needs no reconstruction."""
    store, controls = MemoryStore(), {"shuffled_fmri": -0.2, "nearest_clip": 0.1, "ceiling": 0.2}
    write_study(store, tmp_path, MadeUp(seeds=9, controls=controls))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^- The baseline is worse than the nearest training clip in (.*)$", text, re.M)
    assert said.startswith("2-way-I (−")
    assert "finding a training clip does more" in said
    assert "not shown to be better than the nearest" not in text
    table = text[text.index("Baseline against the nearest training clip") :].partition("\n## ")[0]
    assert "| worse ▼ |" in table
    below = MadeUp(seeds=9, controls={**controls, "nearest_clip": -0.1})
    write_study(other := MemoryStore(), tmp_path / "other", below)
    make_report(other, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"^- The baseline is better than the nearest training clip in 2-way-I, SSIM and EPE", text, re.M)
    write_study(level := MemoryStore(), tmp_path / "level", MadeUp(seeds=9, controls={**controls, "nearest_clip": 0.0}))
    make_report(level, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"^- The baseline is not shown to be better than the nearest training clip in 2-way-I", text, re.M)


def test_a_loss_of_a_baseline_at_its_controls_is_no_proof_of_what_it_has(tmp_path: Path) -> None:
    store, controls = MemoryStore(), {"shuffled_fmri": 0.0, "ceiling": 0.2}
    write_study(store, tmp_path, MadeUp(seeds=9, controls=controls))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"^- Without structure, SSIM worsens by .* But the baseline itself is not shown to be", text, re.M)


def test_tests_metrics_and_published_values_are_cited(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    cited = text[text.index("## References") : text.index("## Provenance")]
    for author in ("Fisher (1935)", "Holm (1979)", "Clark (1973)", "Wang, Bovik", "Farnebäck (2003)", "Ince", "Lu, Du"):
        assert f"- {author}" in cited
    assert "Cochran" not in cited, "no clusters are recorded"
    assert "Bergstra" not in cited


def test_at_the_level_of_the_controls_nothing_is_the_same(tmp_path: Path) -> None:
    """`renamed` differs from the baseline by nothing, and neither does another clip's fMRI."""
    store, controls = MemoryStore(), {"static": -0.05, "shuffled_fmri": 0.0, "random_clip": -0.25, "ceiling": 0.2}
    write_study(store, tmp_path, MadeUp(seeds=9, controls=controls))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(
        r"^- In SSIM the baseline is not shown to be better than its controls: .* against another", text, re.M
    )
    said = r"^- Under renamed, SSIM changes by .* The baseline is at the level of its controls \(.*\): the compar"
    assert re.search(said, text, re.M)
    assert "is the same" not in text
    rows = {
        (row["condition"], row["metric"]): row
        for row in pq.read_table(tmp_path / "report/comparisons.parquet").to_pylist()
    }
    assert (rows["renamed", SSIM]["verdict"], rows["renamed", SSIM]["reason"]) == ("inconclusive", "floor")
    assert rows["wo_structure", SSIM]["verdict"] == "worse", "a difference stays one"


def test_a_saturated_metric_shows_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    family = (("renamed", TWO_WAY), ("renamed", SSIM))
    made = MadeUp(seeds=9, saturated=frozenset({TWO_WAY}), family=family, margins={TWO_WAY: 0.02, SSIM: 0.03})
    write_study(store, tmp_path, made)
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"Under renamed, 2-way-I changes by .* The metric is saturated: every value of both is 1,", text)
    assert "Under renamed, SSIM is the same" in text


def test_sameness_needs_the_seeds_that_were_planned(tmp_path: Path) -> None:
    """Seven of nine trainings failed: two that agree show nothing."""
    store = MemoryStore()
    failed = frozenset(f"renamed-u0-s{seed}" for seed in range(7))
    write_study(store, tmp_path, MadeUp(seeds=9, failed=failed, published=False))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    said = r"^- Under renamed, SSIM .*, 2 of 9 seeds, .*No result could be significant.* 7 trials failed: at worst"
    assert re.search(said, text, re.M)


def test_the_answer_comes_before_any_table(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.index("worsens by") < page.index("<table>")


def test_the_page_needs_no_network_and_is_well_formed(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|url\(|@import|https?://", page)
    checker = _Nesting()
    checker.feed(page)
    assert checker.open == []
    assert checker.wrong == []


def test_comparisons_file_holds_what_is_planted(report: Path) -> None:
    rows = {(row["condition"], row["metric"]): row for row in pq.read_table(report / "comparisons.parquet").to_pylist()}
    assert rows["wo_structure", SSIM]["difference"] == pytest.approx(-0.14, abs=0.005)
    assert rows["wo_motion", EPE]["verdict"] == "worse"
    assert rows["wo_motion", EPE]["seeds"] == 9, "a seed is not lost because one of two subjects lacks it"
    assert "1 of 9 seeds are the mean of the subjects" in rows["wo_motion", EPE]["warnings"]
    declared = {pair for pair, row in rows.items() if row["declared"]}
    assert declared == set(FULL.family)
    assert all(row["stars"] == "" and row["p_holm"] is None for pair, row in rows.items() if pair not in declared)
    others = [row for pair, row in rows.items() if pair not in declared]
    assert all(row["p"] <= row["q"] <= 1 for row in others)
    assert all(rows[pair]["q"] is None for pair in declared)
    assert "| p | q |" in (report / "report.md").read_text(encoding="utf-8")
    with (report / "comparisons.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows) == 12


def test_every_planned_trial_is_in_the_trials_file(report: Path) -> None:
    rows = pq.read_table(report / "trials.parquet").to_pylist()
    failed = [row for row in rows if row["outcome"] == "FAILED"]
    assert len(rows) == 5 * 2 * 9
    assert [(row["trial"], row["error"]) for row in failed] == [("wo_motion-u0-s3", "RuntimeError: out of memory")]


def test_published_numbers_stand_beside_ours(report: Path) -> None:
    rows = {(row["condition"], row["metric"]): row for row in pq.read_table(report / "published.parquet").to_pylist()}
    assert rows["wo_structure", SSIM]["published"] == 0.184
    assert rows["wo_structure", SSIM]["direction"] == "agrees"
    assert {row["within"] for row in rows.values()} == {None}, "sizes of other data cannot be compared"
    assert rows["wo_structure", SSIM]["share"] == pytest.approx(-0.14 / (0.4 * 0.32), abs=0.05)
    assert rows["wo_structure", EPE]["direction"] == "unclear"  # nothing is planted there
    assert rows["baseline", SSIM]["direction"] == ""
    assert "other data" in (report / "report.md").read_text(encoding="utf-8")


def test_tables_name_the_protocol_and_published_rows_of_another_one_are_grey(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    for title in ("Conditions and metrics", "Declared comparisons", "Other metrics"):
        assert f"## {title} (protocol mindsweep-1)" in text
    assert "published Table 6 (other data), protocol mind_animator-1; ours: mindsweep-1" in text
    assert "| published; by mind_animator-1 |" in text
    assert "Videos were judged by the protocol mindsweep-1: " in text
    assert 'class="quiet">0.184</td>' in (report / "report.html").read_text(encoding="utf-8")


def test_rows_of_a_metric_have_the_same_digits(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(subjects=(0, 1), seeds=9, clips=12, film_clips=3))
    result = collect_ablation(store, STUDY, cache=tmp_path / "cache")
    grid = control_grid(analyse(result))
    assert grid is not None
    ssim = {row[2].text for row in grid.rows if row[0].text.startswith("SSIM")}
    assert ssim == {"0.3208"}, "the value of the baseline is written in one way"


def test_controls_and_chance_stand_in_the_main_table(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    table = text[text.index("## Conditions and metrics") : text.index("## Declared comparisons")]
    for row in ("first frame held", "another clip's fMRI", "random training clip", "true features (ceiling)"):
        assert f"| {row} |" in table
    assert "| chance | 0.75 |" in table


def test_what_a_condition_is_stands_below_its_numbers(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    table = text[text.index("## Definition of the conditions") : text.index("## Declared comparisons")]
    assert "| baseline | the defaults |" in table
    assert "| wo_semantic | motion.depth: 3 |" in table


def test_every_figure_is_a_file_that_can_be_drawn_alone(report: Path) -> None:
    names = {path.name for path in (report / "figures").iterdir()}
    assert {"effects-in-ssim.svg", "seeds-in-ssim.svg", "subjects-in-ssim.svg"} <= names
    assert "importance-motion-gradient.svg" in names
    for path in (report / "figures").iterdir():
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_latex_tables_hold_no_sign_that_needs_another_engine(report: Path) -> None:
    text = (report / "report.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == text.count(r"\toprule") >= 5
    assert not re.search(r"[−–Δτδ×°≤▲▼✓✗“”↑↓]|(?<!\$)<", text)


def test_importance_is_beside_the_planted_regions_with_chance(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "rank agreement 0.80 (95% of random orders: below 0.6" in page


def test_a_half_finished_study_says_what_is_missing(tmp_path: Path) -> None:
    store = MemoryStore()
    waiting = frozenset(f"wo_motion-u0-s{seed}" for seed in range(3))
    write_study(store, tmp_path, MadeUp(seeds=3, clips=3, waiting=waiting, published=False))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Not finished: 3 of 15 trials have no result yet" in text
    assert "Without motion, EPE cannot be compared: not finished." in text
    assert "| wo_motion-u0-s0 | waiting | not finished |" in text


def test_three_seeds_earn_no_star_and_are_told_so(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, clips=6))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "no result can be significant" in text
    assert "No result could be significant: the smallest possible p is 0.25" in text
    assert "worsens" not in text


def test_seeds_added_later_are_an_amendment_and_the_registered_ones_stand_beside(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, clips=10), added=6)
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Amended after results were known: seeds 3 -> 9" in text
    added = r"Without structure, SSIM changes by .*, 3 seeds, .* No result could be significant: .*"
    assert re.search(added + r"With the added seeds, 9 in all \(exploratory\): −0\.1[34].* p \(not adjusted\) =", text)
    assert "worsens" not in text, "verdicts are of the registered seeds"
    rows = pq.read_table(tmp_path / "report" / "comparisons.parquet").to_pylist()
    assert {(row["seeds"], row["stars"], row["verdict"]) for row in rows} == {(3, "", "inconclusive")}


def test_other_attempts_are_listed_with_their_verdicts(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path / "first", MadeUp(seeds=9))
    made = MadeUp(seeds=3, clips=6, waiting=frozenset({"renamed-u0-s0"}))
    write_study(store, tmp_path / "second", made, study=f"{STUDY}.2")
    make_report(store, f"{STUDY}.2", tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "> There is 1 other attempt at this ablation (made_up), listed below." in text
    assert re.search(r"\| made_up \| [0-9a-f]{16} \| 9 \| 45 of 45 \| 3 \| 3 worse, 1 equivalent \|", text)
    make_report(store, STUDY, tmp_path / "other")
    other = (tmp_path / "other" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"\| made_up\.2 \| [0-9a-f]{16} \| 3 \| 14 of 15 \| 0 \| 4 inconclusive \|", other)


def test_before_the_first_trial_has_ended_there_is_a_report(tmp_path: Path) -> None:
    store = MemoryStore()
    conditions = ("baseline", "wo_semantic", "wo_structure", "wo_motion", "renamed")
    waiting = frozenset(f"{name}-u0-s{seed}" for name in conditions for seed in range(7))
    write_study(store, tmp_path, MadeUp(waiting=waiting))
    page = make_report(store, STUDY, tmp_path / "report")[0].read_text(encoding="utf-8")
    assert "SSIM cannot be compared: no trial has ended." in page


def test_an_unknown_study_is_answered_with_the_nearest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["made_upp", "--home", str(home)]) == 2
    assert "did you mean made_up?" in capsys.readouterr().err
    assert main(["ablations/made_upp.yaml", "--home", str(home)]) == 2  # a study may be named by its file
    assert "no study made_upp; did you mean made_up?" in capsys.readouterr().err
    assert main(["no/such", "--home", str(home / "empty")]) == 2
    assert "holds no study yet" in capsys.readouterr().err


def test_a_damaged_sweep_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    save_study(store, "cmg-1234", {"id": "cmg-1234", "definition": {"targets": ["noop.value"]}})
    with pytest.raises(UserError, match="cmg-1234 cannot be read by this version"):
        make_report(store, "cmg-1234", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out: .*file cannot be written"):
        make_report(LocalStore(home / "store"), STUDY, tmp_path / "file")


def test_no_engine_is_loaded() -> None:
    engines = "ray,mlflow,optuna,PIL.Image,pyarrow.compute"
    command = program("loaded", "platform.report,platform.reporting.files,platform.analysis.collect", engines)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class _Nesting(HTMLParser):
    """Finds tags that are closed in the wrong order or never."""

    VOID = ("meta", "wbr", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_example_that_documents_link_is_a_page_of_its_own_and_small() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "example-report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 400_000
    assert "Ablation table6" in page
    assert not re.search(r"<script|<link|url\(|@import|https?://", page)
