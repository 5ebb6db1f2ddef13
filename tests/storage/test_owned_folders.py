"""Temporary folders of dead processes go, all others stay."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage import owned_folders
from storage.owned_folders import kill_processes, make_folder, owned_folder, remove_folder
from tests.programs import ROOT, program


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def make_elsewhere(temporary: Path, *, stays: bool) -> tuple[subprocess.Popen[str], Path]:
    """Let another process make a folder; it is killed afterwards unless it `stays`."""
    process = subprocess.Popen(
        program("folder_owner"),
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert folder.is_dir()
    if not stays:
        process.kill()
        process.wait()
    return process, folder


def test_a_killed_process_is_cleaned_up_after_and_a_living_one_is_not(temporary: Path) -> None:
    _, dead = make_elsewhere(temporary, stays=False)
    process, alive = make_elsewhere(temporary, stays=True)
    try:
        mine = make_folder("ms-test-")
        assert not dead.exists()
        assert alive.exists()
        assert make_folder("ms-test-") != mine
        assert mine.exists()
    finally:
        process.kill()
        process.wait()


def test_a_folder_of_nobody_knows_whom_stays(temporary: Path) -> None:
    for name, owner in {"none": None, "damaged": "{", "elsewhere": json.dumps({"host": "other", "space": ""})}.items():
        (temporary / f"ms-test-{name}").mkdir()
        if owner is not None:
            (temporary / f"ms-test-{name}" / "owner.json").write_text(owner)
    (temporary / "unrelated").mkdir()
    make_folder("ms-test-")
    assert {path.name for path in temporary.iterdir()} >= {
        "ms-test-none",
        "ms-test-damaged",
        "ms-test-elsewhere",
        "unrelated",
    }


def _write_late(monkeypatch: pytest.MonkeyPatch, folder: Path, *, times: float) -> None:
    """Let a process that ends write into `folder` after each of the first `times` removals."""
    remove, left = shutil.rmtree, [times]

    def removed(path: Path, **options: Any) -> None:
        remove(path, **options)
        left[0] -= 1
        if left[0] >= 0 and folder.exists():
            (folder / "session").mkdir()

    monkeypatch.setattr("shutil.rmtree", removed)


def test_a_folder_goes_although_processes_that_end_write_for_a_while(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder("ms-test-")
    (folder / "session").mkdir()
    _write_late(monkeypatch, folder, times=3)
    remove_folder(folder)
    assert not folder.exists()


def test_a_folder_that_cannot_be_emptied_keeps_the_record_of_its_owner(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder("ms-test-")
    (folder / "session").mkdir()
    _write_late(monkeypatch, folder, times=float("inf"))
    monkeypatch.setattr(owned_folders, "_PATIENCE", 0.2)
    remove_folder(folder)
    assert {path.name for path in folder.iterdir()} == {"owner.json", "session"}


def test_an_owned_folder_is_empty_and_goes_afterwards(temporary: Path) -> None:
    _, dead = make_elsewhere(temporary, stays=False)
    with owned_folder("ms-test-") as folder:
        assert not dead.exists()
        assert list(folder.iterdir()) == []
        (folder / "a").write_text("b")
        assert (folder.parent / "owner.json").exists()
    assert list(temporary.iterdir()) == []


def test_the_processes_whose_command_names_a_folder_are_killed_only_where_that_is_asked(temporary: Path) -> None:
    folder = make_folder("ms-test-")
    worker = subprocess.Popen([sys.executable, "-c", "input()", f"--logs={folder}/logs"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()", f"--logs={temporary}"], stdin=subprocess.PIPE)
    try:
        remove_folder(folder)
        assert not folder.exists()
        assert worker.poll() is None
        kill_processes(folder)
        assert worker.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("through", ["itself", "a link"])
@pytest.mark.parametrize(("mode", "killed"), [("a", True), ("r", False)])
def test_a_process_without_a_command_line_is_known_by_what_it_writes(
    temporary: Path, through: str, *, mode: str, killed: bool
) -> None:
    """As the agents of a Ray node, which outlive a killed driver; somebody who only reads a log stays."""
    folder = make_folder("ms-test-")
    if through == "a link":
        (temporary / "link").symlink_to(folder)
        folder = temporary / "link"
    (folder / "log").write_text("a line")
    code = f"file = open(input(), {mode!r}); print(flush=True); input()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{folder / 'log'}\n")
        process.stdin.flush()
        process.stdout.readline()
        kill_processes(folder)
        if killed:
            assert process.wait(10) == -signal.SIGKILL
        else:
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
