"""What is sent to the nodes of a cluster."""

import json
from pathlib import Path

import pytest

from platform.run.ray.code_upload import JOB_VARIABLE, runtime_environment
from tests.ray_private import excluded
from trainables.provenance import CODE_VARIABLE, COMMIT_VARIABLE, ROOT, commit_variables


def job(monkeypatch: pytest.MonkeyPatch, runtime_env: object) -> None:
    monkeypatch.setenv(JOB_VARIABLE, json.dumps({"runtime_env": runtime_env, "metadata": {}}))


def test_only_what_a_worker_runs_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    code = runtime_environment({})
    left_out = excluded(Path(code["working_dir"]), code["excludes"])
    sent = {path.name for path in (ROOT, *ROOT.iterdir(), ROOT / ".env") if not left_out(path)}
    assert sent == {ROOT.name, "storage", "trainables", "requirements.lock"}
    assert not left_out(ROOT / "trainables" / "stages" / "noop.py")


def test_variables_are_settings_and_the_commit_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    sent = runtime_environment({"TUNE_SETTING": "1"})["env_vars"]
    assert sent == {"TUNE_SETTING": "1", **commit_variables()}
    assert "planted-secret" not in json.dumps(sent)


def test_a_job_that_brought_the_code_sends_it_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {COMMIT_VARIABLE: "abc", "TUNE_SETTING": "2"}}
    job(monkeypatch, given)
    made = runtime_environment({"TUNE_SETTING": "1", "OTHER": "1"})
    assert set(made) == {"env_vars"}
    assert set(made["env_vars"]) - {CODE_VARIABLE} == {"OTHER"}, "what the job has settled Ray refuses to be told anew"


def test_a_job_whose_code_is_in_the_image_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    job(monkeypatch, None)
    assert runtime_environment({})["working_dir"] == str(ROOT)
