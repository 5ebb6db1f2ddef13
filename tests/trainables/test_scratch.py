"""The folder of a node for temporary files: where it lies, what cannot be used, and that nothing is left in it."""

from pathlib import Path

import pytest

from trainables.scratch import SCRATCH_VARIABLE, on_this_node, remove_scratch, scratch_problem


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_the_drivers(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SCRATCH_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(SCRATCH_VARIABLE, value)
    assert scratch_problem() is None
    assert on_this_node("/home/runs/scratch/cmg-1") == Path("/home/runs/scratch/cmg-1")


def test_a_folder_that_is_absent_will_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCRATCH_VARIABLE, str(tmp_path / "new" / "disk"))
    assert scratch_problem() is None
    assert on_this_node("/home/runs/scratch/cmg-1") == tmp_path / "new" / "disk" / "cmg-1"


@pytest.mark.parametrize(
    ("value", "why"), [("disk", "must be an absolute path"), ("/dev/null/disk", "/dev/null is not a writable folder")]
)
def test_what_cannot_be_used_is_told_by_its_name(value: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCRATCH_VARIABLE, value)
    problem = scratch_problem()
    assert problem is not None
    assert problem.startswith(f"{SCRATCH_VARIABLE} is {value}")
    assert why in problem


def test_what_killed_workers_left_is_removed_here_and_at_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCRATCH_VARIABLE, str(tmp_path / "disk"))
    driver = tmp_path / "home" / "cmg-1"
    for folder in (driver, tmp_path / "disk" / "cmg-1", tmp_path / "disk" / "cmg-2"):
        folder.mkdir(parents=True)
        (folder / "left").touch()
    remove_scratch(driver)
    assert not driver.exists()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["cmg-2"]
