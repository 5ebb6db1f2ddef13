"""The command itself, started as a user does: messages, exit codes, and nothing left behind."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from platform import sweep as sweep_verb
from platform.cli import add_running, as_arguments, options_of, settings_of, verb_parser
from platform.errors import UserError
from platform.options import Options, home_of, open_writable
from tests.platform.study_texts import NOOP
from tests.programs import ROOT, program

HEAVY = "torch,ray,optuna,mlflow,numpy,transformers"


def sweep(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the verb from the project's root."""
    return run([sys.executable, "-m", "platform.sweep", *arguments], home=home)


def run(command: list[str], *, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MINDSWEEP_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(NOOP)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials:", "trails:", ":2:1: trails: there is no such key; did you mean trials?"),
        ("trials: 4", "trials: lots", ":2:1: trials: must be a valid integer, but got 'lots'"),
        ("[0, 1]", "[1, 0]", ":4:3: space.noop.value: the lower end must be below the upper"),
        ("noop.fail_at", "noop.fail", ":5:3: space.noop.fail: there is no such field; did you mean noop.fail_at"),
        ("noop.value\n", "noop.valeu\n", ":1:1: target: there is no metric 'noop.valeu'; did you mean noop.value?"),
        ("trials: 4", "trials: 4\ntrials: 5", ":3:1: trials: written twice"),
        ("target", "\ttarget", ":1:1: not valid YAML"),
    ],
)
def test_bad_input_exits_with_2_and_leaves_nothing(
    old: str, new: str, message: str, tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(NOOP.replace(old, new))
    done = sweep(str(path), home=home)
    assert done.returncode == 2
    assert f"{path}{message}" in done.stderr
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not home.exists()


def test_a_missing_file_exits_with_2(tmp_path: Path, home: Path) -> None:
    done = sweep(str(tmp_path / "absent.yaml"), home=home)
    assert done.returncode == 2
    assert "there is no such file" in done.stderr
    assert not home.exists()


def test_a_store_that_cannot_be_written_exits_with_2(file: Path, tmp_path: Path, home: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    done = sweep(str(file), "--store", (tmp_path / "taken").as_uri(), home=home)
    assert done.returncode == 2
    assert "--store" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tracking_server_that_does_not_answer_exits_with_2_and_keeps_the_secret(file: Path, home: Path) -> None:
    done = sweep(str(file), "--tracking", "http://me:hunter2@127.0.0.1:1", home=home)
    assert done.returncode == 2
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert not home.exists()


def test_with_json_an_error_is_one_object_on_stdout(file: Path, home: Path) -> None:
    done = sweep(str(file), "--json", "--set", "trials=0", home=home)
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_code"] == 2
    assert "--set trials=0" in json.loads(done.stdout)["error"]


def test_dry_run_prints_the_plan_and_leaves_nothing(file: Path, home: Path) -> None:
    done = sweep(str(file), "--dry-run", "--trials", "7", home=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert "points     7" in done.stdout
    assert "<= 7" in done.stdout
    assert not home.exists()


def test_dry_run_as_json_is_one_object(file: Path, home: Path) -> None:
    done = sweep(str(file), "--dry-run", "--json", "--seed", "3", home=home)
    value = json.loads(done.stdout)
    assert value["points"] == 4
    assert value["definition"]["seed"] == 3


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--set", "trials=0"]])
def test_neither_a_plan_nor_a_mistake_imports_anything_heavy(arguments: list[str], file: Path, home: Path) -> None:
    done = run(program("loaded", "platform", HEAVY, "platform.sweep", file, *arguments), home=home)
    assert done.stdout.splitlines()[-1] == "[]"


def test_unknown_options_are_refused_not_guessed(file: Path, home: Path) -> None:
    done = sweep(str(file), "--dry", home=home)
    assert done.returncode == 2
    assert "--dry" in done.stderr


def options(*words: str) -> Options:
    """Return the options that a verb which runs a study reads from `words`."""
    parser = verb_parser("sweep", "")
    add_running(parser)
    return options_of(parser.parse_args(words))


def test_options_are_handed_to_another_verb_as_they_were_given(tmp_path: Path) -> None:
    words = ["--home", str(tmp_path), "--store", "file:///s", "--tracking", "sqlite:///t.db", "--max-concurrent", "3"]
    words += ["--stall-timeout", "9", "--retry-failed", "--keep-going"]
    for more in (["--address", "there:1", "--dry-run"], ["--inline"], []):
        given = options(*words, *more)
        assert options(*as_arguments(given)) == given


def test_home_is_the_option_or_the_environment_or_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_of(None, environment={}) == tmp_path / "runs"
    assert home_of(None, environment={"MINDSWEEP_HOME": ""}) == tmp_path / "runs"
    assert home_of(None, environment={"MINDSWEEP_HOME": "there"}) == tmp_path / "there"
    assert home_of(Path("here"), environment={"MINDSWEEP_HOME": "there"}) == tmp_path / "here"


def test_store_and_tracking_lie_in_the_home_unless_told_otherwise(tmp_path: Path) -> None:
    read = options("--home", str(tmp_path))
    assert read.store == (tmp_path / "store").as_uri()
    assert read.tracking == f"sqlite:///{tmp_path}/mlflow.db"


def test_short_options_are_settings() -> None:
    arguments = argparse.Namespace(settings=["motion.depth=2"], trials="9", seed="0")
    assert settings_of(arguments) == ("motion.depth=2", "trials=9", "seed=0")


def test_the_options_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    """A new option is a decision: it is noted here."""
    assert sweep_verb.main(["--help"]) == 0
    assert sorted(re.findall(r"^  (?:-h, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)) == [
        *("--address", "--dry-run", "--help", "--help-fields", "--help-keys", "--home", "--inline", "--json"),
        *(
            "--keep-going",
            "--max-concurrent",
            "--new-attempt",
            "--points",
            "--retry-failed",
            "--seed",
            "--set",
            "--stall-timeout",
            "--store",
            "--tracking",
        ),
    ]


def test_earlier_spellings_still_work() -> None:
    assert options("--stage-deadline", "7") == options("--stall-timeout", "7")
    assert options("--stall-timeout", "7").stage_deadline == 7


def test_opening_for_writing_makes_the_store_and_nothing_else(tmp_path: Path) -> None:
    store = open_writable(options("--home", str(tmp_path / "home")))
    assert list(store.list("")) == []
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"store"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "ftp://me:hunter2@x/y"], "--store: unknown store scheme 'ftp'"),
        (["--store", "runs/store"], "--store: a store must be a URI"),
        (["--tracking", "redis://me:hunter2@x"], "--tracking: 'redis://...@x' is not a tracking URI"),
    ],
)
def test_opening_for_writing_refuses_unknown_kinds_of_uri(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_writable(options("--home", str(tmp_path), *arguments))
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_opening_for_writing_refuses_a_bound_of_the_cache_that_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINDSWEEP_CACHE_GB", "half")
    with pytest.raises(UserError, match="MINDSWEEP_CACHE_GB must be a number of gigabytes"):
        open_writable(options("--home", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_opening_for_writing_refuses_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(UserError, match="--home"):
        open_writable(options("--home", str(tmp_path / "home")))
