"""How a command's process ends: all that is written and registered, and nothing that only frees memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT

_BEGIN = """
import atexit, os, sys
from platform.process_end import run_command

class Freed:
    def __del__(self):
        os.write(1, b"freed ")

kept = Freed()

def main():
    atexit.register(lambda: os.write(1, b"registered "))
    print("printed", end=" ")
"""


def ended(last_lines: str, **pipes: int) -> subprocess.CompletedProcess[str]:
    """Run a `main` with `last_lines` in a process of its own."""
    code = f"{_BEGIN}    {last_lines}\n\nrun_command(main)\n"
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=False, timeout=60, **given)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("code", [0, 1, 130])
def test_all_is_written_and_called_before_the_process_ends_with_its_code(code: int) -> None:
    done = ended(f"return {code}")
    assert (done.returncode, done.stderr) == (code, "")
    assert sorted(done.stdout.split()) == ["printed", "registered"]


@pytest.mark.parametrize(("raised", "code"), [("SystemExit(3)", 3), ("ValueError('wrong')", 1)])
def test_what_main_raises_ends_the_process_in_pythons_own_way(raised: str, code: int) -> None:
    done = ended(f"raise {raised}")
    assert done.returncode == code
    assert sorted(done.stdout.split()) == ["freed", "printed", "registered"]
    assert ("ValueError: wrong" in done.stderr) == (code == 1)


def test_output_that_cannot_be_written_is_no_success() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = ended("return 0", stdout=full.fileno())
    assert done.returncode != 0
    assert "No space left" in done.stderr


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which `$0` is Python."""
    command = ["sh", "-c", line, sys.executable]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    lines = f"""
import os, subprocess, sys
from platform.process_end import run_command

def main():
    with open({str(tmp_path / "file")!r}, "w") as file:
        print("printed by this process", flush=True)
        subprocess.run([sys.executable, "-c", "print('printed by a child process')"], check=True)
        file.write("written to the file")
    return 0

run_command(main)
"""
    (tmp_path / "program.py").write_text(lines, encoding="utf-8")
    done = shell(f"PYTHONPATH=. exec $0 {tmp_path}/program.py <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "written to the file"


VERB = "$0 -m platform.sweep search_spaces/cmg.yaml --dry-run"


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (f"{VERB} >&-", 0, ""),
        (f"{VERB} --json >&- 2>&-", 0, ""),
        (f"{VERB} >/dev/full", 1, "the answer could not be written to stdout: No space left on device\n"),
        (f"{VERB} --json >/dev/full", 1, "the answer could not be written to stdout: No space left on device\n"),
        ("$0 -m platform.sweep nothing.yaml 2>/dev/full", 2, ""),
        ("$0 -m platform.sweep nothing.yaml 2>&-", 2, ""),
    ],
)
def test_a_verb_whose_output_cannot_be_written_says_so_and_has_its_exit_code(line: str, code: int, told: str) -> None:
    done = shell(line)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", told)
