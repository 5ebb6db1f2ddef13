"""All verbs share one command line: with `--json` each prints exactly one object, whatever happens."""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from platform import __main__ as listing
from platform.__main__ import VERBS
from platform.cli import Answer, add_running, run_verb, verb_parser
from platform.errors import StudyError, UserError
from storage.errors import UnavailableError

BAD: dict[str, Sequence[str]] = {
    "sweep": ["absent.yaml"],
    "ablate": ["absent.yaml"],
    "resume": ["absent"],
    "status": ["absent"],
    "report": ["absent"],
    "preview": ["folder", "absent"],
    "strip": ["absent/trial"],
    "prepare": ["validate", "absent"],
    "evaluate": ["absent"],
    "reproduce": ["absent"],
    "reproducible": ["--run", "absent"],
    "rebuild": ["absent"],
    "confirm": ["absent"],
    "export": ["absent", "out"],
    "import": ["absent"],
    "checkpoint": ["import", "absent.pth", "--stage", "motion"],
    "ui": ["--home", "absent"],
}
"""A request of each verb that cannot be met, in an empty folder."""


def answered(verb: str, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = import_module(f"platform.{verb}").main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_every_verb_has_a_request_to_refuse() -> None:
    assert set(BAD) == set(VERBS)


@pytest.mark.parametrize(
    ("verb", "mistake"),
    [
        (verb, mistake)
        for verb in VERBS
        for mistake in ("request", "option", "nothing")
        if mistake != "nothing" or verb not in ("status", "reproducible")  # which then list what there is
    ],
)
def test_a_mistake_is_one_object_on_stdout_and_a_text_on_stderr(
    verb: str, mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINDSWEEP_HOME", raising=False)
    arguments = {"request": BAD[verb], "option": ["--no-such-option"], "nothing": []}[mistake]
    code, out, err = answered(verb, [*arguments, "--json"], capsys)
    value = json.loads(out)
    assert out.count("\n") == 1
    assert (code, value["exit_code"]) == (2, 2)
    assert value["error"] in err
    assert "nothing was started" in err
    assert answered(verb, arguments, capsys)[:2] == (2, ""), "without --json there is nothing on stdout"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_the_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = answered(verb, ["--help"], capsys)
    assert code == 0
    assert text.startswith(f"usage: python -m platform.{verb} ")
    assert "130 interrupted (Ctrl-C)" in " ".join(text.split())
    assert json.loads(answered(verb, ["--help", "--json"], capsys)[1]) == {"help": text.rstrip("\n"), "exit_code": 0}


def test_the_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main([]) == 0
    assert all(f"python -m platform.{verb} " in capsys.readouterr().out for verb in list(VERBS)[:1])
    assert listing.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verbs"] == VERBS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("the home is full"), 2),
        (StudyError("the home is full"), 1),
        (UnavailableError("the home is full"), 1),
        (OSError("the home is full"), 1),
        (ZeroDivisionError("the home is full"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_whatever_goes_wrong_is_one_object(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def call(arguments: object) -> Answer:
        sys.stdout.write("half of it is done")
        raise error

    assert run_verb(verb_parser("sweep", ""), call, ["--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == code
    assert json.loads(out)["error"].endswith("interrupted" if code == 130 else "the home is full")
    assert "half of it is done" in err, "what a verb prints on its way goes to stderr"


def test_a_bug_shows_its_traceback() -> None:
    def call(arguments: object) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_verb(verb_parser("sweep", ""), call, [])


def test_numbers_that_json_does_not_know_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer({"values": [1.0, float("nan")], "best": {"value": float("inf")}}, exit_code=1)
    assert run_verb(verb_parser("sweep", ""), lambda arguments: answer, ["--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"values": [1.0, None], "best": {"value": None}, "exit_code": 1}


def test_what_follows_an_answer_comes_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[str] = []

    def serve() -> int:
        printed.append(capsys.readouterr().out)
        return 7

    answer = Answer({"url": "http://127.0.0.1"}, then=serve)
    assert run_verb(verb_parser("ui", ""), lambda arguments: answer, ["--json"]) == 7
    assert json.loads(printed[0]) == {"url": "http://127.0.0.1", "exit_code": 0}


def test_secrets_are_left_out_of_errors(capsys: pytest.CaptureFixture[str]) -> None:
    parser = verb_parser("sweep", "")
    add_running(parser)

    def call(arguments: object) -> Answer:
        raise OSError("http://me:hunter2@host does not answer")

    assert run_verb(parser, call, ["--json"]) == 1
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
