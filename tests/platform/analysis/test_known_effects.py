"""Margins against known effects: of the ablation itself, and of others in the store."""

from pathlib import Path

import pytest

from platform.ablate import main
from platform.analysis.known_effects import KnownEffect, effects_in_store, wide_margins
from platform.reporting.making import make_report
from storage.local import LocalStore
from storage.memory import MemoryStore
from tests.platform.noop_ablations import build, play, register, written
from tests.platform.reporting.made_up_ablation import EPE, STUDY, MadeUp, write_study

SHOWN = """\
primary: [noop.value]
seeds: 6
unit: seeds
conditions:
  half: {noop.value: 0.4}
family: {half: [noop.value]}
"""


def test_a_margin_is_compared_with_the_smallest_effect() -> None:
    known = [KnownEffect("epe", "wo_a", 0.3, "one"), KnownEffect("epe", "wo_b", 0.1, "two")]
    (text,) = wide_margins({"epe": 0.1, "ssim": 9.0}, known)
    assert "0.1 (wo_b in two)" in text
    assert text.endswith("A fifth of the effect is 0.02")
    assert not list(wide_margins({"epe": 0.09}, known))


def test_effects_of_other_finished_ablations_are_known(tmp_path: Path) -> None:
    store, study = MemoryStore(), build(SHOWN)
    register(study, store)
    assert not list(effects_in_store(store, ["noop.value"], cache=tmp_path, besides="new")), "it is not finished"
    play(study, store)
    (effect,) = effects_in_store(store, ["noop.value"], cache=tmp_path, besides="new")
    assert (effect.condition, effect.study) == ("half", study.id)
    assert not list(effects_in_store(store, ["noop.value"], cache=tmp_path, besides=study.id))
    assert not list(effects_in_store(store, ["motion.loss"], cache=tmp_path, besides="new"))


def test_a_difference_that_is_not_significant_is_no_effect(tmp_path: Path) -> None:
    store, study = MemoryStore(), build(SHOWN.replace("noop.value: 0.4", "noop.epochs: 7"))
    register(study, store)
    play(study, store)
    assert not list(effects_in_store(store, ["noop.value"], cache=tmp_path, besides="new"))


def test_the_plan_notes_a_margin_that_is_too_wide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, study = LocalStore(tmp_path / "store"), build(SHOWN, path="earlier.yaml")
    register(study, store)
    play(study, store)
    text = SHOWN.replace("half: {noop.value: 0.4}", "other: {noop.value: 0.45}").replace("{half:", "{other:")
    for margin, noted in ((5.0, True), (0.0001, False)):
        file = written(tmp_path, f"{text}margins: {{noop.value: {margin}}}\n", name="later")
        assert main([str(file), "--dry-run", "--home", str(tmp_path)]) == 0
        assert ("is not smaller than the smallest known effect" in capsys.readouterr().out) is noted


def test_the_report_warns_of_a_margin_as_large_as_an_effect_that_it_shows(tmp_path: Path) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(seeds=9, margins={EPE: 5.0}))
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "> The margin of evaluate.test_epe, 5, is not smaller than the smallest known effect" in text
