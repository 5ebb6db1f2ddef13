"""The verb `ablate`: plans, refusals, forks, added seeds, the list."""

import json
from pathlib import Path
from typing import Any

import pytest

from platform import ablate
from platform.record.trial_log import Summary
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import load_ablation
from platform.study.registration import registered
from storage.local import LocalStore
from storage.studies import load_amendments
from tests.platform.no_mlflow import NoMlflow, drive_by
from tests.platform.noop_ablations import NOOP, build, play, register, written


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[AblationStudy]:
    """Stand in for the driver: freeze the design and end every trial."""
    called: list[AblationStudy] = []

    def run_study(study: AblationStudy, options: Any) -> Summary:
        store = LocalStore(home / "store")
        register(study, store)
        play(study, store)
        called.append(study)
        return Summary(study.id, {"completed": study.trial_count}, (), {"executed": 1, "reused": 0}, 1.0)

    drive_by(run_study, monkeypatch)
    return called


def run(path: Path, home: Path, *more: str) -> int:
    return ablate.main([str(path), "--home", str(home), *more])


def test_a_dry_run_starts_and_writes_nothing(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(written(tmp_path), home, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["study"] == "small"
    assert plan["stages"][0] | {"forecast": None} == {
        "stage": "noop",
        "needed": 12,
        "shared": 0,
        "private": 12,
        "to_do": 12,
        "forecast": None,
        "runs": 12,
        "exact": True,
        "cached": 0,
    }
    assert plan["seconds_saved"] == 0.0
    assert plan["definition"]["sha256"] == load_ablation(written(tmp_path)).definition["sha256"]
    assert not home.exists()


def test_a_changed_design_is_refused_with_a_diff_and_forked_on_demand(
    tmp_path: Path, home: Path, driven: list[AblationStudy], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(written(tmp_path), home) == 0
    changed = written(tmp_path, NOOP.replace("0.5", "0.7"))
    assert run(changed, home) == 2
    answer = capsys.readouterr().err
    assert "small was registered with another design" in answer
    assert "-        noop.value: 0.5" in answer
    assert "+        noop.value: 0.7" in answer
    assert "--fork" in answer
    assert run(changed, home, "--fork") == 0
    assert run(changed, home) == 0
    assert run(written(tmp_path), home) == 0
    assert [study.id for study in driven] == ["small", "small.2", "small.2", "small"]


def test_other_code_is_another_design(
    tmp_path: Path,
    home: Path,
    driven: list[AblationStudy],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(written(tmp_path), home) == 0
    monkeypatch.setattr("trainables.graph.SCHEMA", 2)
    assert run(written(tmp_path), home) == 2
    assert "+  noop: noop-" in capsys.readouterr().err


def test_more_seeds_are_an_amendment_that_stays(
    tmp_path: Path, home: Path, driven: list[AblationStudy], capsys: pytest.CaptureFixture[str]
) -> None:
    path, store = written(tmp_path), LocalStore(home / "store")
    assert run(path, home, "--add-seeds", "2") == 2
    assert "12 of 12 trials of small are not finished" in capsys.readouterr().err
    assert run(path, home, "--power", "noop.value=1") == 2
    assert "the store has no trials of small yet" in capsys.readouterr().err
    assert run(path, home) == 0
    assert run(path, home, "--add-seeds", "2", "--dry-run") == 0
    assert "8 seeds = 16\nended      12 of 16 trials have already ended\n" in capsys.readouterr().out
    assert load_amendments(store, "small") == ()
    assert run(path, home, "--add-seeds", "2") == 0
    assert run(path, home) == 0
    registration, amendments = registered(store, "small")
    assert registration.design.seeds == 6
    assert [one.text for one in amendments] == ["seeds 6 -> 8"]
    assert [study.repeats for study in driven] == [6, 8, 8]
    assert driven[-1].tags["amendments"] == "seeds 6 -> 8"
    assert run(path, home, "--set", "seeds=8") == 2


def test_mistakes_start_nothing(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, NOOP + "scheduler: asha\n")
    assert run(path, home, "--json") == 2
    captured = capsys.readouterr()
    assert "early stopping is not allowed in an ablation" in captured.err
    assert json.loads(captured.out)["exit_code"] == 2
    assert run(tmp_path / "smal.yaml", home) == 2
    assert "did you mean" in capsys.readouterr().err
    assert not home.exists()


def test_the_end_of_a_run_is_its_report(
    tmp_path: Path,
    home: Path,
    driven: list[AblationStudy],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow = NoMlflow()
    monkeypatch.setattr("platform.launch.mlflow_view", lambda study, options: mlflow)
    assert run(written(tmp_path), home, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["report"]) == home / "reports" / "small" / "report.html"
    assert Path(said["report"]).is_file()
    controls, answer = said["answers"]
    assert controls == "In noop: value no control that knows nothing of the clip was measured."
    assert answer.startswith("Under half, noop: value")
    assert mlflow.attached == [home / "reports" / "small" / "report.html"]
    assert run(written(tmp_path), home) == 0
    output = capsys.readouterr().out
    assert answer in output
    assert output.endswith(f"report: {said['report']}\n")


def test_an_interrupted_run_leaves_a_report_on_what_there_is(
    tmp_path: Path, home: Path, driven: list[AblationStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_study(study: AblationStudy, options: Any) -> Summary:
        register(study, LocalStore(home / "store"))
        return Summary(study.id, {"completed": 0}, (), {"executed": 0, "reused": 0}, 1.0, interrupted=True)

    drive_by(run_study, monkeypatch)
    assert run(written(tmp_path), home) == 130
    report = (home / "reports" / "small" / "report.md").read_text(encoding="utf-8")
    assert "Not finished: 12 of 12 trials have no result yet" in report


def test_a_report_that_fails_is_told_and_hides_no_result(
    tmp_path: Path, home: Path, driven: list[AblationStudy], capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "reports").write_text("no folder")
    assert run(written(tmp_path), home, "--json") == 1
    captured = capsys.readouterr()
    assert "the report could not be written" in captured.err
    assert "python -m platform.report small" in captured.err
    assert "cannot be written" in json.loads(captured.out)["report_error"]
    assert json.loads(captured.out)["trials"] == {"completed": 12}


def test_without_a_file_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate.main([]) == 2
    assert "FILE is missing" in capsys.readouterr().err


def test_the_list_tells_what_each_would_cost(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    written(tmp_path, NOOP + "  same: {noop.value: 0.5}\n  same_again: {noop.value: 0.5}\n".replace("6", "9"), name="z")
    (tmp_path / "z.yaml").write_text((tmp_path / "z.yaml").read_text().replace("seeds: 6", "seeds: 9"))
    monkeypatch.setattr(ablate, "ABLATIONS", tmp_path)
    assert ablate.main(["--list", "--json", "--home", str(home)]) == 0
    rows = json.loads(capsys.readouterr().out)["ablations"]
    assert [(Path(row["file"]).stem, row["trials"], row["stage_runs"]) for row in rows] == [
        ("small", 12, 12),
        ("z", 36, 18),
    ]
    assert ablate.main(["--list", "--home", str(home)]) == 0
    assert "small" in capsys.readouterr().out
    assert build().id == "test"
