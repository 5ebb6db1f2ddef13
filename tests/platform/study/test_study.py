from dataclasses import replace
from pathlib import Path

import pytest

from platform.errors import UserError
from platform.study.schedulers import AshaOptions, FifoOptions, MedianOptions
from platform.study.sweep_file import load_study
from tests.platform.study_texts import NOOP, build
from trainables.config.trial import resolve
from trainables.graph import stage_runs


def test_what_a_short_file_says() -> None:
    study = build(NOOP)
    assert study.space.fields == ("noop.value", "noop.fail_at")
    assert [metric.name for metric in study.targets] == ["noop.value"]
    assert (study.sampler, study.scheduler.name, study.trials, study.repeats, study.seed) == ("tpe", "fifo", 4, 1, 0)
    assert study.stages == ("noop",)
    assert study.source == NOOP


def test_the_id_is_the_name_and_eight_hex_digits_of_the_definition() -> None:
    study = build(NOOP)
    name, _, digits = study.id.partition("-")
    assert name == "test"
    assert len(digits) == 8
    assert int(digits, 16) >= 0
    assert replace(study, attempt=2).id == f"{study.id}.2"
    assert build(NOOP).id == study.id


@pytest.mark.parametrize(
    "change",
    [
        ("trials: 4", "trials: 40"),
        ("trials: 4", "trials: 4 # more later"),
        ("{uniform: [0, 1]}", "{uniform: [0.0, 1.0]}"),
        ("trials: 4", "trials: 4\nscheduler: {fifo: }"),
        ("trials: 4", "trials: 4\nbase: {noop.sleep: 2.0}"),
        ("trials: 4", "trials: 4\nbase: {motion: {train: {device: cpu}}}"),
    ],
)
def test_what_leaves_the_id_as_it_is(change: tuple[str, str]) -> None:
    changed = NOOP.replace(*change)
    assert changed != NOOP
    assert build(changed).id == build(NOOP).id


@pytest.mark.parametrize(
    "change",
    [
        ("trials: 4", "trials: 4\nseed: 1"),
        ("trials: 4", "trials: 4\nrepeats: 2"),
        ("trials: 4", "trials: 4\nsampler: random"),
        ("trials: 4", "trials: 4\nscheduler: asha"),
        ("trials: 4", "trials: 4\nbase: {noop.epochs: 2}"),
        ("trials: 4", "trials: 4\npoints: [{noop.value: 0.5}]"),
        ("trials: 4", "trials: 4\nconstraints: [noop.value < 0.9]"),
        ("[0, 1]", "[0, 2]"),
    ],
)
def test_what_makes_another_study(change: tuple[str, str]) -> None:
    changed = NOOP.replace(*change)
    assert changed != NOOP
    assert build(changed).id != build(NOOP).id


def test_other_data_make_another_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")
    text = "target: semantic.retrieval_image_top5\ntrials: 2\nspace: {semantic.alpha: {uniform: [0, 1]}}"
    before = build(text).id
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "others")
    assert build(text).id != before


def test_a_spec_is_the_config_of_the_point_with_the_runs_that_the_targets_need() -> None:
    study = build(NOOP + "repeats: 3\nseed: 5\nbase: {noop: {epochs: 2}}\n")
    assert study.seeds() == (5, 6, 7)
    spec = study.spec(7, 1, {"noop.value": 0.25, "noop.fail_at": 1})
    config = resolve({"noop.value": 0.25, "noop.fail_at": 1, "noop.epochs": 2})
    assert spec.study == study.id
    assert spec.trial == "t0007-s1"
    assert spec.seed == 6
    assert spec.config == config.model_dump(mode="json")
    assert spec.runs == stage_runs(config, seed=6, targets=["noop"])
    assert spec.targets == ("noop.value",)
    assert build(NOOP).spec(7, 0, {"noop.value": 0.25}).trial == "t0007"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("fifo", FifoOptions()),
        ("asha", AshaOptions(grace_epochs=1, reduction_factor=3)),
        ("{asha: {grace_epochs: 5, reduction_factor: 4}}", AshaOptions(grace_epochs=5, reduction_factor=4)),
        ("{median: {min_trials: 2}}", MedianOptions(grace_epochs=1, min_trials=2)),
    ],
)
def test_schedulers_by_name_or_with_options(text: str, options: object) -> None:
    study = build(NOOP + f"scheduler: {text}\n")
    assert study.scheduler.options == options


def test_points_take_what_they_leave_out_from_base() -> None:
    study = build(
        NOOP + "base: {noop.fail_at: 2}\npoints:\n  - {noop.value: 0.5}\n  - {noop: {fail_at: 1, value: 1}}\n"
    )
    assert study.space.points == ({"noop.value": 0.5, "noop.fail_at": 2}, {"noop.value": 1, "noop.fail_at": 1})


def test_a_grid_is_as_long_as_it_is() -> None:
    grid = NOOP.replace("trials: 4\n", "sampler: grid\n").replace("[0, 1]", "[0, 1], step: 0.5")
    assert build(grid).trials == 3 * 4
    assert build(grid, "trials=500").trials == 3 * 4


def test_settings_change_keys_and_config_fields() -> None:
    nested = NOOP + "base: {noop: {epochs: 2, sleep: 1}}\n"
    study = build(
        nested, "trials=9", "seed=3", "noop.epochs=4", "sampler=random", "scheduler={asha: {grace_epochs: 2}}"
    )
    assert (study.trials, study.seed, study.sampler, study.scheduler.name) == (9, 3, "random", "asha")
    assert study.base == {"noop.epochs": 4, "noop.sleep": 1}
    assert study.settings[0] == "trials=9"


def test_fields_come_after_those_that_they_depend_on() -> None:
    text = """\
target: motion.rollout_mse
trials: 2
space:
  motion.heads: {choice: [2, 4], when: {motion.depth: 2}}
  motion.depth: {int: [1, 2], when: {motion.kind: cmg}}
  motion.kind: {choice: [cmg, per_frame_mlp]}
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainables.backbones.fingerprint", lambda config: "some")
        assert build(text).space.fields == ("motion.kind", "motion.depth", "motion.heads")


def test_max_epochs_is_the_most_over_the_space() -> None:
    assert build(NOOP + "base: {noop.epochs: 7}\n").max_epochs() == 7
    assert build(NOOP + "  noop.epochs: {int: [2, 9]}\n").max_epochs() == 9


def test_the_name_of_the_file_is_the_name_of_the_study(tmp_path: Path) -> None:
    path = tmp_path / "my_noop.yaml"
    path.write_text(NOOP)
    assert load_study(path).name == "my_noop"
    for odd, name in {"my noop ü.yaml": "my_noop_u", "Übung (2).yaml": "Ubung_2", "x" * 80 + ".yaml": "x" * 64}.items():
        (tmp_path / odd).write_text(NOOP)
        assert load_study(tmp_path / odd).name == name
    (tmp_path / "試.yaml").write_text(NOOP)
    with pytest.raises(UserError, match="the file's name is the name of the study: it needs a letter from a to z"):
        load_study(tmp_path / "試.yaml")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('dataset.kind: prepared, dataset.path: "/a\\0b"', r"dataset\.path: must not contain a NUL character, but got"),
        ('dataset.kind: folder, dataset.path: "/a\\0b"', r"dataset\.path: must not contain a NUL character"),
        ('dataset.kind: folder, dataset.path: /a, dataset.fmri: "a\\0"', r"dataset\.fmri: must not contain a NUL"),
        ('given.path: "/a\\0b"', r"given\.path: must not contain a NUL character"),
        (
            "dataset.path: /a",
            r"dataset\.path: belongs to data sets of another kind; set dataset\.kind, too, to folder or",
        ),
        ("dataset.fmri: a", r"dataset\.fmri: belongs to data sets of another kind; set dataset\.kind, too, to folder$"),
        (
            "dataset.kind: prepared, dataset.path: file://host/x",
            r"file://host/x names the host 'host': a folder of this machine is written file:///folder",
        ),
    ],
)
def test_a_location_that_cannot_be_is_a_mistake(base: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(NOOP + f"base: {{{base}}}\n")


def test_a_missing_file_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "cmg.yaml").write_text(NOOP)
    with pytest.raises(UserError, match=r"there is no such file.*cmg\.yaml"):
        load_study(tmp_path / "cgm.yaml")


def test_hidden_files_are_not_suggested_for_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / ".nowhere.yaml").write_text("repos: []\n", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load_study(tmp_path / "nowhere.yaml")
    assert ".nowhere.yaml" not in str(refused.value)


def test_a_relative_folder_of_data_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = build(NOOP + "base: {dataset: {kind: folder, path: clips}}\n")
    assert study.base["dataset.path"] == str(tmp_path / "clips")
