"""What a report says of clips in clusters, of clips on their own, and of evaluations that recorded no clusters."""

from pathlib import Path

import pytest

from platform.analysis.collect import collect_ablation
from platform.analysis.design_contrasts import by_subject
from platform.analysis.findings import analyse
from platform.reporting.contents import AblationReport, build_report
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import SSIM, STUDY, MadeUp, write_study


def reported(folder: Path, *, film_clips: int) -> AblationReport:
    store = MemoryStore()
    made = MadeUp(seeds=9, clips=36, film_clips=film_clips, effects={"wo_structure": {SSIM: -0.14}})
    write_study(store, folder, MadeUp(**{**vars(made), "family": (("wo_structure", SSIM),), "published": False}))
    return build_report(collect_ablation(store, STUDY, cache=folder / "cache"), store="memory")


@pytest.mark.parametrize(("film_clips", "said"), [(6, "36 clips in 6 films"), (1, "36 clips"), (0, "36 clips")])
def test_a_sentence_counts_clips_and_films(tmp_path: Path, film_clips: int, said: str) -> None:
    report = reported(tmp_path, film_clips=film_clips)
    *_, (_, text) = report.conclusions
    assert text.endswith(f"9 seeds, {said}.")
    (tested,) = report.findings.declared
    assert tested.clusters == (6 if film_clips == 6 else 36)
    assert tested.stars == ("*" if film_clips == 6 else "**"), "six films allow 0.031, nine seeds 0.0039"
    holds = dict(report.facts)["holds for"]
    assert holds.endswith("for this data set and these subjects")
    assert ("films" in holds) == (film_clips == 6)
    assert ("a film is the unit of all tests" in report.methods) == (film_clips == 6)


@pytest.mark.parametrize(
    ("film_clips", "fact"),
    [
        (6, "36 clips in 6 films"),
        (1, "36 clips, each on its own"),
        (0, "36 clips; no clusters are recorded (evaluated by an earlier version), so each clip counts as independent"),
    ],
)
def test_the_facts_say_what_is_known_of_the_clips(tmp_path: Path, film_clips: int, fact: str) -> None:
    report = reported(tmp_path, film_clips=film_clips)
    assert dict(report.facts)["test clips"] == fact
    assert f"Test clips: {fact}." in report.methods


def test_means_and_differences_have_intervals_over_films(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    widths = []
    for folder, film_clips in ((tmp_path / "a", 6), (tmp_path / "b", 1)):
        mean = reported(folder, film_clips=film_clips).findings.means["baseline", SSIM]
        widths.append(mean.high - mean.low)
    assert widths[0] != widths[1]


def test_five_films_are_said_to_be_too_few(tmp_path: Path) -> None:
    report = reported(tmp_path, film_clips=8)
    (tested,) = report.findings.declared
    assert (tested.clusters, tested.stars) == (5, "")
    assert any("6 films are enough" in warning for warning in tested.warnings)
    assert analyse(report.findings.result).declared == report.findings.declared


def test_where_each_seed_has_clips_of_its_own_seeds_are_the_only_unit(tmp_path: Path) -> None:
    store, made = MemoryStore(), MadeUp(seeds=9, clips=5, film_clips=1, vary=("train", "data"), published=False)
    write_study(store, tmp_path, made)
    report = build_report(collect_ablation(store, STUDY, cache=tmp_path / "cache"), store="memory")
    for tested in report.findings.declared:
        assert (tested.unit, tested.p) == ("seeds", tested.p_values["sign flip over seeds"])
        assert tested.generalises_over == ("networks trained anew on data sets drawn anew (clips, brains and noise)")
    assert dict(report.facts)["test clips"] == "5 clips of its own in each seed"
    assert "Between seeds we varied training and data (the baseline's dataset.seed + 0 to 8" in report.methods


@pytest.mark.parametrize(("film_clips", "clusters"), [(6, 6), (1, 36), (0, 36)])
def test_subjects_alone_are_tested_over_films_too(tmp_path: Path, film_clips: int, clusters: int) -> None:
    alone = by_subject(reported(tmp_path, film_clips=film_clips).findings, "wo_structure", SSIM)
    assert {tested.clusters for tested in alone} == {clusters}
