"""Temporary folders of dead processes go, all others stay."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from platform.run.owned_folders import make_folder
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
