"""From a sweep to a claim: `confirm` of its best points, `ablate --from` around its best point, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from platform import ablate, confirm, sweep
from platform.run.driver import run_study
from platform.study.ablation_file import load_ablation
from platform.study.registration import registered
from storage.local import LocalStore
from storage.studies import list_studies
from tests.platform.no_mlflow import drive_by

SWEEP = """\
target: noop.value
trials: {trials}
sampler: random
seed: 3
space:
  noop.value: {{choice: [0.9, 0.7, 0.5, 0.3]}}
  noop.epochs: {{int: [1, 2]}}
{more}
"""
FIRST = (
    "points: [{noop.value: 0.9, noop.epochs: 2}, {noop.value: 0.3, noop.epochs: 1}, {noop.value: 0.5, noop.epochs: 1}]"
)


@pytest.fixture(autouse=True)
def _without_views(monkeypatch: pytest.MonkeyPatch) -> None:
    drive_by(run_study, monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def searched(tmp_path: Path, home: Path, *, trials: int = 3, more: str = FIRST, name: str = "small") -> Path:
    """Run a sweep of `trials` points; the values of noop are the metric itself."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(SWEEP.format(trials=trials, more=more), encoding="utf-8")
    assert sweep.main([str(path), "--inline", "--home", str(home)]) == 0
    return path


def run(verb: Any, home: Path, *arguments: str) -> int:
    code: int = verb.main([*arguments, "--inline", "--home", str(home)])
    return code


def test_the_best_points_are_compared_with_the_one_tried_first_under_fresh_seeds(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path, home)
    capsys.readouterr()
    assert run(confirm, home, "small", "--top", "2", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["study"], answer["trials"]["completed"]) == ("small-confirm", 3 * 8)
    assert any("The search found 0.3 as the best of 3 completed points (t0001)" in text for text in answer["answers"])
    registration, _ = registered(LocalStore(home / "store"), "small-confirm")
    design, origin = registration.design, registration.search
    assert (design.seed, design.seeds) == (4, 8)  # the sweep trained under seed 3; 7 seeds can earn a star
    assert design.overrides("baseline", 0)["noop.value"] == 0.9
    assert {name: condition.overrides for name, condition in design.conditions.items()} == {
        "t0001": {"noop.value": 0.3, "noop.epochs": 1},
        "t0002": {"noop.value": 0.5, "noop.epochs": 1},
    }
    assert origin is not None
    assert (dict(origin.values), origin.points) == ({"baseline": 0.9, "t0001": 0.3, "t0002": 0.5}, 3)
    report = (home / "reports" / "small-confirm" / "report.md").read_text(encoding="utf-8")
    assert "## Search and confirmation" in report
    assert "| t0001 | 0.300 | 0.300; [0.300, 0.300] | 0.000; [0.000, 0.000] | +0.600 | +0.600" in report


def test_the_written_file_is_the_registered_ablation(tmp_path: Path, home: Path) -> None:
    searched(tmp_path, home)
    assert run(confirm, home, "small", "--top", "1") == 0
    file = home / "ablations" / "small-confirm" / "small-confirm.yaml"
    written = load_ablation(file)
    stored, _ = registered(LocalStore(home / "store"), "small-confirm")
    assert written.definition["sha256"] == stored.sha256
    assert file.read_text(encoding="utf-8").startswith("# Confirms the sweep small-")


@pytest.mark.long
def test_the_same_command_continues_and_another_result_of_the_search_is_a_fork(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = searched(tmp_path, home)
    assert run(confirm, home, "small", "--top", "1", "--seeds", "6") == 0
    assert run(confirm, home, "small", "--top", "1", "--seeds", "6") == 0
    file = home / "ablations" / "small-confirm" / "small-confirm.yaml"
    before = file.read_bytes()
    assert sweep.main([str(path), "--points", "4", "--inline", "--home", str(home)]) == 0
    capsys.readouterr()
    assert run(confirm, home, "small", "--top", "1", "--seeds", "6") == 2
    assert "registered with another design" in capsys.readouterr().err  # chosen from four points, not three
    assert file.read_bytes() == before
    assert run(confirm, home, "small", "--top", "1", "--seeds", "6", "--fork") == 0
    assert file.read_bytes() == before
    assert (home / "ablations" / "small-confirm.2" / "small-confirm.yaml").is_file()


def test_a_dry_run_writes_nothing(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path, home)
    capsys.readouterr()
    assert run(confirm, home, "small", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["study"], plan["trials"]) == ("small-confirm", 3 * 8)
    assert any("only 2 of the 3 best points" in note for note in plan["notes"])
    assert not (home / "ablations").exists()
    assert [study.partition("-")[0] for study in list_studies(LocalStore(home / "store"))] == ["small"]


def test_the_best_point_is_taken_apart(tmp_path: Path, home: Path) -> None:
    searched(tmp_path, home)
    assert run(ablate, home, "--from", "small") == 0
    registration, _ = registered(LocalStore(home / "store"), "small-apart")
    conditions = {name: condition.overrides for name, condition in registration.design.conditions.items()}
    default = load_ablation(home / "ablations" / "small-apart" / "small-apart.yaml").space.config({})
    assert registration.design.overrides("baseline", 0)["noop.value"] == 0.3
    assert conditions["default_value"] == {"noop.value": 0.0}
    assert default.noop.value == 0.3


def test_an_unfinished_search_is_confirmed_with_a_note(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = searched(tmp_path, home)

    def interrupted(*arguments: Any, **options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("platform.run.inline.run_inline", interrupted)
    assert sweep.main([str(path), "--points", "5", "--inline", "--home", str(home)]) == 130
    capsys.readouterr()
    assert run(confirm, home, "small", "--dry-run") == 0
    assert "is not finished: 3 of 5 points have ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "arguments", "message"),
    [
        (
            FIRST,
            ["--seeds", "3"],
            "3 seeds allow no p below 0.25, but a family of 2 at 0.05 needs a p of 0.025: 7 seeds",
        ),
        (FIRST, ["--target", "noop.valu"], "has no such target; did you mean noop.value?"),
        ("", ["--against", "first"], "lists no point to try first"),
        (FIRST, ["--set", "noop.value=0.1", "--top", "0"], "must be 1 or more"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(
    more: str, arguments: list[str], message: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path, home, more=more)
    capsys.readouterr()
    assert run(confirm, home, "small", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (home / "ablations").exists()


def test_nothing_to_confirm_is_refused(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path, home, trials=1)
    assert run(confirm, home, "small") == 2
    assert "every completed point is equal to the point tried first (t0000)" in capsys.readouterr().err
    assert run(confirm, home, "none") == 2
    assert "holds no study none" in capsys.readouterr().err


def test_a_search_without_a_completed_point_is_refused(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SWEEP.format(trials=2, more="base: {noop.fail_at: 1}"), encoding="utf-8")
    assert sweep.main([str(path), "--inline", "--home", str(home)]) == 1
    assert run(confirm, home, "small") == 2
    assert "has no completed point with a value of noop.value (2 trials: 2 failed)" in capsys.readouterr().err
    assert run(ablate, home, "--from", "small") == 2


def test_an_ablation_is_not_confirmed(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path, home)
    assert run(confirm, home, "small", "--top", "1") == 0
    assert run(confirm, home, "small-confirm") == 2
    assert "small-confirm is an ablation" in capsys.readouterr().err


def test_the_default_of_every_field_cannot_be_taken_apart(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path, home, trials=1, more="base: {noop.value: 0.9, noop.epochs: 2}\n" + FIRST)
    assert run(ablate, home, "--from", "small") == 2
    assert "has the default of every swept field" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table6.yaml", "--from", "small"], "cannot be combined with FILE"),
        (["--from", "small", "--list"], "cannot be combined with --list"),
        (["--target", "noop.value", "table6.yaml"], "only with --from"),
    ],
)
def test_options_of_other_ablations_are_refused(
    arguments: list[str], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ablate, home, *arguments) == 2
    assert message in capsys.readouterr().err
