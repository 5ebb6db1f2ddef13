"""Effects of a factorial, steps of a path and subjects alone, in ablations whose values are planted."""

import pytest

from platform.analysis.collect import AblationResult, collect_ablation
from platform.analysis.design_contrasts import compared_contrasts, contrasts_of, prevalence_of
from platform.analysis.findings import analyse
from platform.reporting.contrast_section import contrast_sections
from platform.statistics.signed_p import SignedP
from storage.memory import MemoryStore
from tests.platform.noop_ablations import NOOP, build, play, register

FACTORIAL = """\
primary: [noop.value]
seeds: 7
unit: seeds
factorial:
  fields:
    noop.value: [0.0, 0.5]
    noop.epochs: [1, 2]
"""
PATH = """\
primary: [noop.value]
seeds: 8
unit: seeds
baseline: {noop.value: 0.1, noop.epochs: 3, noop.fail_at: 9}
conditions:
  default_value: {noop.value: 0.4}
  default_epochs: {noop.epochs: 1}
  default_fail_at: {noop.fail_at: 0}
  all_default: {noop.value: 0.4, noop.epochs: 1, noop.fail_at: 0}
  step1_value: {noop.epochs: 1, noop.fail_at: 0}
"""


def finished(text: str, factory: pytest.TempPathFactory) -> AblationResult:
    store, study = MemoryStore(), build(text)
    register(study, store)
    play(study, store)
    return collect_ablation(store, study.id, cache=factory.mktemp("cache"))


def test_a_factorial_has_its_effects(tmp_path_factory: pytest.TempPathFactory) -> None:
    findings = analyse(finished(FACTORIAL, tmp_path_factory))
    effects = {tested.name: tested.difference for tested in compared_contrasts(findings)}
    assert effects == {
        "noop.value: 0.5 against 0.0": pytest.approx(0.5),
        "noop.epochs: 2 against 1": pytest.approx(0.0),
        "noop.value 0.5 x noop.epochs 2": pytest.approx(0.0),
    }
    (section,) = contrast_sections(findings)
    assert (section.title, len(section.grids[0].rows)) == ("Effects and steps", 3)


def test_a_path_has_its_steps_and_they_sum_to_the_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    findings = analyse(finished(PATH, tmp_path_factory))
    steps = compared_contrasts(findings)
    assert [tested.name for tested in steps] == [
        "step1_value against all_default",
        "default_fail_at against step1_value",
        "baseline against default_fail_at",
    ]
    assert [tested.difference for tested in steps] == pytest.approx([-0.3, 0.0, 0.0])
    assert sum(tested.difference for tested in steps) == pytest.approx(
        -findings.comparisons["all_default", "noop.value"].difference
    )


def test_a_plain_design_has_none() -> None:
    assert contrasts_of(build(NOOP).design) == ()


def test_subjects_alone_have_a_direction_and_a_prevalence(tmp_path_factory: pytest.TempPathFactory) -> None:
    findings = analyse(finished(NOOP.replace("unit: seeds", "unit: seeds\nsubjects: [0, 1, 2]"), tmp_path_factory))
    (section,) = contrast_sections(findings)
    (row,) = section.grids[0].rows
    assert [str(cell) for cell in row[2:]] == ["0.031; worse"] * 3 + ["100%; [27%, 100%]; 3 of 3"]


def test_of_many_comparisons_only_the_declared_ones_are_shown_for_each_subject(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = NOOP.replace("unit: seeds", "unit: seeds\nsubjects: [0, 1]\nfamily: {half: all}")
    findings = analyse(finished(text + "  tenth: {noop.value: 0.1}\n", tmp_path_factory))
    (section,) = contrast_sections(findings)
    assert [row[0].text for row in section.grids[0].rows] == ["half", "tenth"]
    monkeypatch.setattr("platform.reporting.contrast_section.MOST", 1)
    (section,) = contrast_sections(findings)
    assert [row[0].text for row in section.grids[0].rows] == ["half"]


def test_opposite_directions_do_not_add_up() -> None:
    up, down = (SignedP(difference, p=0.01, smallest_p=0.001, clusters=9) for difference in (1.0, -1.0))
    assert prevalence_of((up, up, down), alpha=0.05).positive == 2
