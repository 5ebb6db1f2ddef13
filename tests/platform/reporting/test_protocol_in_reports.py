"""Reports name the protocol by which videos were judged, and set published rows of another one apart."""

from dataclasses import replace
from pathlib import Path

from platform.analysis.collect import collect_ablation
from platform.reporting.contents import build_report
from platform.reporting.making import make_report
from platform.reporting.protocol import protocol_of_trials
from platform.reporting.texts import report_page
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import STUDY, MadeUp, write_study


def test_a_protocol_of_a_newer_version_is_named(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, evaluate={"protocol": "mindsweep-9"}, published=False))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Videos were judged by the protocol mindsweep-9, which this version does not know." in text


def test_published_rows_of_the_same_protocol_are_not_grey(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, evaluate={"protocol": "mind_animator-1"}))
    page = report_page(build_report(collect_ablation(store, STUDY, cache=tmp_path / "cache"), store="memory:"))
    assert "Conditions and metrics (protocol mind_animator-1)" in page
    assert "Grey: published by" not in page
    assert ">0.184</td>" in page
    assert 'class="quiet">0.184</td>' not in page


def test_what_was_changed_of_a_protocol_is_part_of_its_name(tmp_path: Path) -> None:
    store = MemoryStore()
    changed = {"protocol": "mind_animator-1", "hue_frames": 6, "image_trials": None}
    write_study(store, tmp_path, MadeUp(seeds=3, evaluate=changed))
    page = report_page(build_report(collect_ablation(store, STUDY, cache=tmp_path / "cache"), store="memory:"))
    assert "Conditions and metrics (protocol mind_animator-1+hue_frames=6)" in page
    assert "Videos were judged by the protocol mind_animator-1+hue_frames=6: 512x512, " in page
    assert "; changed: hue_frames=6." in page
    assert "published Table 6 (other data), protocol mind_animator-1; ours: mind_animator-1+hue_frames=6" in page
    assert 'class="quiet">0.184</td>' in page


def test_conditions_that_are_judged_otherwise_are_named_in_captions(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=3, evaluate={"image_trials": 20}))
    result = collect_ablation(store, STUDY, cache=tmp_path / "cache")
    trials = {
        key: replace(trial, config={"evaluate": {}}) if key[0] == "wo_structure" else trial
        for key, trial in result.trials.items()
    }
    expected = "mindsweep-1+image_trials=20; wo_structure: mindsweep-1"
    assert protocol_of_trials(replace(result, trials=trials)) == expected
