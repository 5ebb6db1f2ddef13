"""The facts about code and lock that a manifest keeps."""

import subprocess
from pathlib import Path

import pytest

from trainables.provenance import CODE, CODE_VARIABLE, COMMIT_VARIABLE, code_digest, code_facts, commit_variables


def checkout(folder: Path) -> Path:
    for name in CODE:
        (folder / name).mkdir(parents=True)
        (folder / name / "code.py").write_text("x = 1\n")
    (folder / "requirements.lock").write_text("numpy==2.0\n")
    return folder


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_digest_changes_with_what_a_worker_runs_and_nothing_else(tmp_path: Path) -> None:
    before = code_digest(checkout(tmp_path))
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "code.py").write_text("")
    (tmp_path / "trainables" / "notes.txt").write_text("")
    assert code_digest(tmp_path) == before
    (tmp_path / "trainables" / "code.py").write_text("x = 2\n")
    assert code_digest(tmp_path) != before


def test_commit_and_changes_since_are_told(tmp_path: Path) -> None:
    checkout(tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    code_facts.cache_clear()
    facts = code_facts(tmp_path)
    assert (facts["commit"], facts["dirty"]) == (git(tmp_path, "rev-parse", "HEAD"), "false")
    (tmp_path / "README").write_text("")
    (tmp_path / "storage" / "code.py").write_text("x = 2\n")
    code_facts.cache_clear()
    changed = code_facts(tmp_path)
    assert (changed["commit"], changed["dirty"]) == (facts["commit"], "true")
    assert changed["code"] != facts["code"]
    assert changed["lock"] == facts["lock"]


def test_outside_git_the_digests_remain(tmp_path: Path) -> None:
    assert set(code_facts(checkout(tmp_path / "copy"))) - {"commit", "dirty"} == {"code", "lock"}


def test_a_copy_outside_git_is_told_its_commit_and_takes_no_other_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, copy = checkout(tmp_path / "made"), checkout(tmp_path / "copy")
    git(made, "init", "-q")
    git(made, "add", ".")
    git(made, "commit", "-qm", "first")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))  # whatever the temporary folder lies in
    for name, value in commit_variables(made).items():
        monkeypatch.setenv(name, value)
    assert code_facts(copy) == code_facts(made)
    assert code_facts(copy)["dirty"] == "false"
    (copy / "storage" / "code.py").write_text("x = 2\n")
    code_facts.cache_clear()
    assert set(code_facts(copy)) == {"code", "lock"}


def test_a_commit_that_a_person_gives_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    image = checkout(tmp_path / "image")
    assert commit_variables(image) == {}
    code_facts.cache_clear()
    monkeypatch.setenv(COMMIT_VARIABLE, "1234abcd-dirty")
    assert commit_variables(image) == {COMMIT_VARIABLE: "1234abcd-dirty", CODE_VARIABLE: code_digest(image)}
