"""Environment variables of a study: empty counts as unset, and what cannot be used is told by its name."""

from pathlib import Path

import pytest

from platform.sweep import main

STUDY = "target: noop.value\nspace: {noop.value: {uniform: [0.0, 1.0]}}\ntrials: 2\n"
VARIABLES = (
    "HOME",
    "MINDSWEEP_CACHE_GB",
    "MINDSWEEP_CODE",
    "MINDSWEEP_COMMIT",
    "MINDSWEEP_HOME",
    "MINDSWEEP_SCRATCH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "OMP_NUM_THREADS",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_TMPDIR",
    "TMPDIR",
)


def plan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Plan a study in `folder`; return the exit code."""
    (folder / "tiny.yaml").write_text(STUDY)
    monkeypatch.chdir(folder)
    return main(["tiny.yaml", "--dry-run"])


@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_variable_counts_as_unset(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert plan(tmp_path, monkeypatch) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"], "a plan writes nothing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MINDSWEEP_CACHE_GB", "many"),
        ("MINDSWEEP_CACHE_GB", "-1"),
        ("MINDSWEEP_SCRATCH", "relative"),
        ("MINDSWEEP_SCRATCH", "/dev/null/disk"),
        ("MLFLOW_TRACKING_TOKEN", "token-of-mlflow\n"),
        ("RAY_AUTH_TOKEN", " token-of-ray"),
        ("AWS_SESSION_TOKEN", "token-of-s3\n"),
    ],
)
def test_a_malformed_one_is_refused_by_its_name(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert plan(tmp_path, monkeypatch) == 2
    told = capsys.readouterr().err
    assert name in told
    assert "token-of" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", "/nowhere/at/all"),
        ("MINDSWEEP_COMMIT", "no commit"),
        ("MINDSWEEP_CODE", "no digest"),
        ("MINDSWEEP_HOME", "absent/home"),
        ("MLFLOW_TRACKING_URI", "bogus://"),  # --tracking alone says where MLflow is
        ("OMP_NUM_THREADS", "many"),
        ("RAY_ADDRESS", "nowhere"),  # a plan asks no cluster
        ("RAY_AUTH_MODE", "bogus"),
        ("RAY_TMPDIR", "/nowhere"),
        ("TMPDIR", "/nowhere"),
    ],
)
def test_what_a_plan_does_not_need_does_not_stop_it(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert plan(tmp_path, monkeypatch) == 0
