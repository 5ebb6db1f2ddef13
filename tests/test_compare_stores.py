"""The comparison of two stores, on studies that compute nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from platform.run.driver import run_study
from storage.uri import open_store
from tests.compare_stores import differences, main, read_content
from tests.platform.noop_studies import inline_in, noop_study


def store_of(folder: Path, text: str = "trials: 2") -> str:
    folder.mkdir()
    options = inline_in(folder)
    run_study(noop_study(folder, text), options)
    return options.store


def test_the_same_study_twice_differs_in_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store_of(tmp_path / "first"), store_of(tmp_path / "second")]) == 0
    assert capsys.readouterr().out.startswith("2 stage runs in both stores, 0 in one; 2 trials with 2 metrics and ")


def test_a_trial_of_one_store_alone_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store_of(tmp_path / "first"), store_of(tmp_path / "second", "trials: 3")]) == 1
    assert "only in the second store" in capsys.readouterr().out


def test_another_value_and_another_file_are_named(tmp_path: Path) -> None:
    content = read_content(open_store(store_of(tmp_path / "first")))
    (identity, run), (trial, facts) = next(iter(content.stage_runs.items())), next(iter(content.trials.items()))
    changed = replace(
        content,
        stage_runs={**content.stage_runs, identity: {**run, "files": {"a.json": "00"}}},
        trials={**content.trials, trial: {**facts, "metrics": {"noop.value": 7.0}}},
    )
    found = list(differences(content, changed))
    assert f"{identity} files a.json: None and 00" in found
    assert any(line.startswith(f"{trial} metrics noop.value: ") and line.endswith(" and 7.0") for line in found)
