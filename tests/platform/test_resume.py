"""`python -m platform.resume`: a study continues with the file and the settings that are on record."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from platform import ablate, resume, sweep
from platform.record.study_from_store import call_of
from platform.record.trial_log import Summary
from platform.study.registration import Amendment, amend
from platform.study.study import Study
from storage.local import LocalStore
from storage.studies import save_call, save_study
from tests.platform.no_mlflow import drive_by
from tests.platform.noop_ablations import NOOP as ABLATION
from tests.platform.study_texts import NOOP
from trainables.backbones.sources import PHANTOM

FIELDS = ("id", "name", "source", "path", "settings", "trials", "repeats", "seed", "space", "scheduler", "attempt")


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Study]:
    """Stand in for the driver: put on record what is run."""
    called: list[Study] = []

    def launch(study: Study, options: Any) -> Summary:
        store = LocalStore(tmp_path / "home" / "store")
        save_study(store, study.id, {"id": study.id, "definition": study.definition})
        save_call(store, study.id, call_of(study), time=float(len(called)))
        called.append(study)
        return Summary(study.id, {"completed": 1}, (), {"executed": 1, "reused": 0}, 1.0)

    drive_by(launch, monkeypatch)
    return called


def run(verb: Any, tmp_path: Path, *arguments: str) -> int:
    code: int = verb.main([*arguments, "--home", str(tmp_path / "home")])
    return code


def test_a_sweep_continues_with_its_settings(
    tmp_path: Path, driven: list[Study], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(NOOP)
    assert run(sweep, tmp_path, str(file), "--set", "sampler=random", "--trials", "7", "--seed", "3") == 0
    assert run(resume, tmp_path, "small") == 0
    first, second = driven
    assert {name: getattr(second, name) for name in FIELDS} == {name: getattr(first, name) for name in FIELDS}
    assert (second.trials, second.seed, second.sampler) == (7, 3, "random")
    assert "changed" not in capsys.readouterr().err
    assert run(sweep, tmp_path, str(file), "--fresh") == 0
    assert run(resume, tmp_path, driven[-1].id) == 0
    assert driven[-1].id == driven[-2].id


def test_a_second_attempt_is_continued_by_its_full_name(tmp_path: Path, driven: list[Study]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(NOOP)
    for more in ([], ["--fresh"]):
        assert run(sweep, tmp_path, str(file), *more) == 0
    assert run(resume, tmp_path, f"{driven[0].id}.2") == 0
    assert (driven[-1].id, driven[-1].attempt) == (f"{driven[0].id}.2", 2)


@pytest.mark.parametrize("change", ["write", "delete"])
def test_a_file_that_has_changed_is_named_and_its_recorded_text_is_used(
    change: str, tmp_path: Path, driven: list[Study], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(NOOP)
    assert run(sweep, tmp_path, str(file)) == 0
    file.write_text(NOOP.replace("[0, 1]", "[0, 2]")) if change == "write" else file.unlink()
    assert run(resume, tmp_path, "small") == 0
    assert driven[1].id == driven[0].id
    said = "has changed since" if change == "write" else "cannot be read from here"
    assert f"{file} {said}" in capsys.readouterr().err


def test_an_ablation_continues_with_its_amendments(tmp_path: Path, driven: list[Study]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(ABLATION)
    assert run(ablate, tmp_path, str(file), "--set", "alpha=0.1") == 0
    amend(LocalStore(tmp_path / "home" / "store"), "small", Amendment(6, 8, 1.0))
    assert run(resume, tmp_path, "small") == 0
    assert (driven[1].id, driven[1].repeats, driven[1].settings) == ("small", 8, ("alpha=0.1",))
    assert driven[1].definition == driven[0].definition


@pytest.mark.parametrize(("verb", "text"), [(sweep, NOOP), (ablate, ABLATION)])
def test_other_code_makes_another_study_which_is_refused(
    verb: Any,
    text: str,
    tmp_path: Path,
    driven: list[Study],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(text)
    assert run(verb, tmp_path, str(file)) == 0
    monkeypatch.setattr("trainables.graph.SCHEMA", 2)
    assert run(resume, tmp_path, "small") == 2
    message = capsys.readouterr().err
    assert f"{driven[0].id} cannot be continued" in message
    assert "+  noop: noop-" in message
    assert f"{file} runs the file as it is now" in message


def test_a_dry_run_is_the_plan_of_the_recorded_study(
    tmp_path: Path, driven: list[Study], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(NOOP)
    assert run(sweep, tmp_path, str(file), "--trials", "7") == 0
    capsys.readouterr()
    assert run(resume, tmp_path, "small", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 7
    assert len(driven) == 1


def test_a_study_of_before_files_were_recorded_is_refused(
    tmp_path: Path, driven: list[Study], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(NOOP)
    assert run(sweep, tmp_path, str(file)) == 0
    store = LocalStore(tmp_path / "home" / "store")
    for key in list(store.list(f"studies/{driven[0].id}/calls/")):
        store.delete(key)
    assert run(resume, tmp_path, "small") == 2
    assert "before files were recorded" in capsys.readouterr().err


def resume_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch, *, base: str) -> None:
    """Run a sweep in `folder`, with relative paths in `base`, and resume it in another folder."""
    file = folder / "small.yaml"
    file.write_text(f"base: {base}\n{NOOP}")
    monkeypatch.chdir(folder)
    assert run(sweep, folder, str(file)) == 0
    monkeypatch.chdir("/")
    assert run(resume, folder, "small") == 0


def test_a_data_set_is_found_from_another_folder(
    tmp_path: Path, driven: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clips").mkdir()
    resume_elsewhere(tmp_path, monkeypatch, base="{dataset.kind: folder, dataset.path: clips}")
    assert driven[1].base["dataset.path"] == str(tmp_path / "clips")
    assert driven[1].settings == ()


def test_weights_are_found_from_another_folder(
    tmp_path: Path, driven: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PHANTOM / "clip", tmp_path / "models" / "clip")
    resume_elsewhere(tmp_path, monkeypatch, base="{backbones.clip: models/clip}")
    assert driven[1].id == driven[0].id
    assert driven[1].base["backbones.clip"] == str(tmp_path / "models" / "clip")
