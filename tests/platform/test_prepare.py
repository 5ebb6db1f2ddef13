"""The verb `prepare`: its options come from the readers, its answers are those of all verbs."""

import io
import json
import shlex
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from rich.console import Console

from platform.cli import verb_parser
from platform.errors import UserError
from platform.model_options import add_model_options, model_from
from platform.prepare import main
from platform.screen.step_progress import StepProgress
from platform.sweep import main as sweep
from tests.trainables.prepared.labs import rows_lab, series_lab, values
from trainables import datasets
from trainables.config.base import Count
from trainables.config.trial import resolve
from trainables.datasets.prepared.read import open_prepared
from trainables.preparation.options import FolderOptions
from trainables.preparation.readers import READERS

SMALL = ("--frames", "4", "--resolution", "32")


def test_rows_from_a_folder_to_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = rows_lab(tmp_path / "lab"), tmp_path / "out"
    given = [str(lab), "--out", str(out), *SMALL, "--licence", "CC0-1.0", "--citation", "me", "--citation", "you"]
    assert main(["rows", *given, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    about = open_prepared(out).description
    assert answer["digest"] == about.digest
    assert (answer["kind"], answer["subjects"], answer["split_by"]) == ("rows", ["sub-01", "sub-02"], "source")
    assert about.citation == ("me", "you")
    assert main(["validate", str(out)]) == 0
    assert "0 error(s), 0 warning(s)" in capsys.readouterr().out
    np.save(out / "sub-01" / "rows.npy", values(23, 0))
    assert main(["validate", str(out), "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any(problem["where"].endswith("sub-01/rows.npy") and problem["fatal"] for problem in problems)


def test_a_set_is_put_into_a_store_and_used_from_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = rows_lab(tmp_path / "lab"), tmp_path / "out"
    uri = (tmp_path / "shared disk").as_uri()
    assert main(["rows", str(lab), "--out", str(out), *SMALL]) == 0
    capsys.readouterr()
    assert main(["upload", str(out), uri, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["uri"], answer["digest"]) == (uri, open_prepared(out).description.digest)
    study = tmp_path / "study.yaml"
    study.write_text("target: semantic.loss\nspace: {semantic.train.lr: {choice: [0.1, 0.2]}}\ntrials: 2\n")
    here = ["--set", "dataset.kind=prepared", "--set", f"dataset.path={uri}", "--home", str(tmp_path / "home")]
    assert sweep([str(study), *here, "--dry-run", "--json"]) == 0, capsys.readouterr().err
    np.save(out / "sub-01" / "rows.npy", values(23, 0))
    assert main(["upload", str(out), uri]) == 2
    assert "sub-01/rows.npy" in capsys.readouterr().err
    assert main(["upload", str(tmp_path / "shared disk"), "ftp://host"]) == 2
    assert "unknown store scheme 'ftp'" in capsys.readouterr().err


def test_the_advised_command_quotes_the_uri(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out, shared = rows_lab(tmp_path / "lab"), tmp_path / "out", tmp_path / "shared disk"
    assert main(["rows", str(lab), "--out", str(out), *SMALL]) == 0
    capsys.readouterr()
    assert main(["upload", str(out), f"file://{shared}"]) == 0
    advice = shlex.split(capsys.readouterr().out.partition("use it with ")[2])
    assert advice == ["--set", "dataset.kind=prepared", "--set", f"dataset.path=file://{shared}"]
    assert datasets.check(resolve(dict(word.split("=", 1) for word in advice if "=" in word))).errors == ()


def test_an_upload_that_cannot_begin_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = rows_lab(tmp_path / "lab"), tmp_path / "out"
    assert main(["rows", str(lab), "--out", str(out), *SMALL]) == 0
    (tmp_path / "file").touch()
    assert main(["upload", str(out), f"file://{tmp_path}/file/set"]) == 2
    text = capsys.readouterr().err
    assert "cannot make the folder of probes" in text
    assert "continues" not in text
    assert main(["upload", str(out), "file://host/x"]) == 2
    assert "file://host/x names the host 'host': a folder of this machine is written file:///folder" in (
        capsys.readouterr().err
    )
    assert not Path("host").exists()


def test_a_subject_that_is_lost_gives_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = series_lab(tmp_path / "lab")
    np.save(lab / "sub-02" / "run-1.npy", np.full((6, 6), np.nan, np.float32))
    assert main(["series", str(lab), "--out", str(tmp_path / "out"), "--tr", "2", *SMALL]) == 1
    text = capsys.readouterr().out
    assert "error: sub-02: is left out" in text
    assert "12 clips, 1 subject(s), split by source" in text


def test_after_an_interrupt_the_user_is_told_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    given = [str(rows_lab(tmp_path / "lab")), "--out", str(tmp_path / "out"), *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr("trainables.preparation.prepare._write_subjects", stop)
        assert main(["rows", *given]) == 130
    assert capsys.readouterr().err == "interrupted: the same command continues with what is finished\n"
    assert main(["rows", *given]) == 0


def test_a_failure_after_parts_were_written_says_how_to_go_on_and_not_that_nothing_was_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, out = series_lab(tmp_path / "lab", subjects=1), tmp_path / "out"
    good = (lab / "sub-01" / "run-1.npy").read_bytes()
    np.save(lab / "sub-01" / "run-1.npy", np.full((6, 6), np.nan, np.float32))
    given = ["series", str(lab), "--out", str(out), "--tr", "2", *SMALL]
    assert main(given) == 1
    text = capsys.readouterr().err
    assert "finished parts are kept in" in text
    assert "the same command continues with them" in text
    assert "nothing was started" not in text
    assert not out.exists()
    (lab / "sub-01" / "run-1.npy").write_bytes(good)
    assert main(given) == 0


def test_errors_in_json_say_what_is_wrong_and_not_that_it_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab").mkdir()
    assert main(["rows", str(tmp_path / "lab"), "--out", str(tmp_path / "out"), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"].startswith(f"{tmp_path}/lab/clips: there is no such folder; it must hold the clips")
    assert answer["exit_code"] == 2


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file/out", "file/out: cannot be made: Not a directory; name a new"),
        ("n" * 300, "cannot be made: File name too"),
    ],
)
def test_a_folder_that_cannot_be_made_is_a_mistake(
    out: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = rows_lab(tmp_path / "lab")
    (tmp_path / "file").touch()
    assert main(["rows", str(lab), "--out", str(tmp_path / out), *SMALL]) == 2
    text = capsys.readouterr().err
    assert message in text
    assert "continues" not in text


def test_a_tr_in_milliseconds_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = series_lab(tmp_path / "lab", subjects=1), tmp_path / "out"
    assert main(["series", str(lab), "--out", str(out), "--tr", "2000", *SMALL]) == 1
    text = capsys.readouterr().err
    assert "run 'run-1' has 6 volume(s) at a TR of 2000 s: too few to remove drift; a TR is in seconds" in text
    assert not out.exists()


def test_a_lag_after_all_volumes_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = series_lab(tmp_path / "lab", subjects=1), tmp_path / "out"
    assert main(["series", str(lab), "--out", str(out), "--tr", "2", "--lag", "4000", *SMALL]) == 1
    assert (
        "every response, 4000 s after its clip, is after the run's end; a lag is in seconds" in capsys.readouterr().err
    )
    assert not out.exists()


def test_a_subject_that_was_left_out_is_named_when_the_others_have_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, out = rows_lab(tmp_path / "lab"), tmp_path / "out"
    np.save(lab / "sub-01" / "rows.npy", np.ones((24, 6), np.float32))
    np.save(lab / "sub-02" / "rows.npy", np.full((24, 6), np.inf, np.float32))
    assert main(["rows", str(lab), "--out", str(out), *SMALL]) == 1
    text = capsys.readouterr().err
    assert "every voxel is constant" in text
    assert "sub-02: is left out" in text


def test_one_subject_may_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, out = series_lab(tmp_path / "lab"), tmp_path / "out"
    assert main(["series", str(lab), "--out", str(out), "--tr", "2", *SMALL, "--subject", "sub-02"]) == 0
    assert open_prepared(out).description.subjects == ("sub-02",)
    again = ["series", str(lab), "--out", str(tmp_path / "no"), "--tr", "2", *SMALL, "--subject", "sub-9"]
    assert main(again) == 2
    assert "--subject: there is no sub-9; did you mean sub-02 or sub-01? there are: sub-01," in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["series", "lab", "--out", "out"], "the following arguments are required: --tr"),
        (["series", "lab", "--out", "out", "--tr", "0"], "--tr: Input should be greater than 0, but got '0'"),
        (["rows", "lab", "--out", "out", "--frames", "x"], "--frames: Input should be a valid integer"),
        (
            ["rows", "lab", "--out", "out", "--split-by", "luck"],
            "argument --split-by: there is no luck; did you mean",
        ),
        (["rows", "lab"], "the following arguments are required: --out"),
        (["rows", "lab", "--out", "out"], "lab/clips: there is no such folder"),
        (
            ["nifti", "lab", "--out", "out"],
            "argument READER: there is no nifti; there are: algonauts2021, algonauts2025,",
        ),
        (["validate", "lab"], "lab: there is no such folder; name the folder of a data set"),
        (["upload", "lab", "memory://"], "memory://: is gone when this command ends; name file:///folder or s3://"),
        (["validate", __file__], "test_prepare.py: is no folder; name the folder that holds dataset.json"),
        (["rows", "lab", "--out", "out", "--resolution", "25600"], "--resolution: Input should be less than or equal"),
        (["rows", "lab", "--out", "out", "--frames", "800"], "--frames: Input should be less than or equal to 256"),
    ],
)
def test_mistakes_are_answered(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err.replace("'rows', 'series'", "rows, series")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reader", READERS)
def test_the_help_of_a_reader_explains_every_option(reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([reader, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: python -m platform.prepare {reader} ")
    assert "130 interrupted (Ctrl-C)" in text
    assert "side of the stored clips, in pixels (default: 2" in text


class Example(FolderOptions):
    count: Count = 3
    """how many, 100% sure"""
    kind: Literal["a", "b"] = "a"
    """which"""
    flag: bool | None = None
    """whether"""
    films: tuple[str, ...] = ()
    """a film; may be repeated"""
    rate: Annotated[float, "a note"]
    """how fast"""


def test_fields_become_options() -> None:
    parser = verb_parser("x", "")
    add_model_options(parser, Example)
    words = ["here", "--rate", "2", "--film", "one", "--film", "two", "--no-flag", "--kind", "b"]
    options = model_from(parser.parse_args(words), Example)
    assert (options.folder, options.rate, options.films, options.flag, options.kind, options.count) == (
        Path("here"), 2.0, ("one", "two"), False, "b", 3
    )  # fmt: skip
    assert "how many, 100% sure (default: 3)" in parser.format_help()
    with pytest.raises(UserError, match=r"^--count: .*greater than or equal to 1, but got '0'\n--rate: "):
        model_from(parser.parse_args(["here", "--rate", "x", "--count", "0"]), Example)


def test_progress_is_a_line_now_and_then_without_a_terminal() -> None:
    seconds = iter([0.0, 0.0, 10.0, 20.0, 20.0, 20.0, 40.0, 40.0, 40.0])
    output = io.StringIO()
    with StepProgress(Console(file=output, width=80), clock=lambda: next(seconds)) as progress:
        progress("clips", 10, 100)
        progress("clips", 15, 100)
        progress("clips", 25, 100)
    assert output.getvalue().splitlines() == ["clips: 25 of 100, 1:00 min left", "clips: 50 of 100, 40.0 s left"]


def test_progress_is_a_bar_on_a_terminal() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    with StepProgress(console) as progress:
        progress("clips", 25, 100)
    assert "25/100" in output.getvalue()
