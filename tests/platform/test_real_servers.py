"""A sweep and an ablation as a lab runs them: store and artifacts in S3, MLflow as a server on PostgreSQL."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest

from platform.events import TrialEvent
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import Tracking
from platform.reporting.texts import PAGE
from storage.events import EventLog
from storage.uri import open_store
from tests.platform.made_up_study import made_up_study, study_events
from tests.platform.mirrored import mirrored, recorded, runs_of
from tests.platform.noop_ablations import TWO_EPOCHS
from tests.platform.noop_studies import noop_study
from tests.programs import ROOT, program
from tests.servers.mlflow import MlflowServer

STORE = "s3://mindsweep/lab"
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def lab(s3_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which a lab's drivers and workers find S3."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)


def run(sweep: Path, ablation: Path, server: MlflowServer) -> list[dict[str, Any]]:
    """Run both studies and return what `--json` tells of each."""
    places = ["--home", str(sweep.parent), "--store", STORE, "--tracking", server.uri, "--json"]
    command = program("sweep_and_ablate", sweep, ablation, *places)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "planted-secret" not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def stored(study: str) -> list[TrialEvent]:
    return [TrialEvent.from_json(value) for value in EventLog(open_store(STORE), study).read()]


@pytest.mark.ray
@pytest.mark.usefixtures("lab")
def test_a_sweep_and_an_ablation_end_to_end(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 6\nbase: {noop.epochs: 3}", name="lab_sweep")
    (tmp_path / "lab_ablation.yaml").write_text(TWO_EPOCHS)
    swept, ablated = run(Path(study.path), tmp_path / "lab_ablation.yaml", mlflow_server)
    assert (swept["trials"]["completed"], ablated["trials"]["completed"]) == (6, 12)
    client = connected(mlflow_server.uri)
    for name, told in (("lab_sweep", swept), ("lab_ablation", ablated)):
        events = stored(told["study"])
        parent, children = runs_of(client, name)
        assert parent.info.status == "FINISHED"
        assert {run.info.status for run in children.values()} == {"FINISHED"}
        assert children.keys() == {event.trial for event in events}
        assert mirrored(client, children) == recorded(events)
        assert set(recorded(events).values()) == {1}
    assert {run.data.params["condition"] for run in children.values()} == {"baseline", "half"}
    _artifacts_come_through_the_server(client, parent.info.run_id, tmp_path)


def _artifacts_come_through_the_server(client: mlflow.MlflowClient, run_id: str, folder: Path) -> None:
    """Whoever looks needs no key of the S3 server, which holds them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        assert client.get_run(run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
        page = client.download_artifacts(run_id, f"report/{PAGE}", str(folder))
    assert "half" in Path(page).read_text(encoding="utf-8")
    keys = open_store("s3://mindsweep/mlflow").list("")
    assert any(key.endswith(f"{run_id}/artifacts/report/{PAGE}") for key in keys)


@pytest.mark.usefixtures("no_figures")
def test_a_database_without_a_server(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Tables are those that the server made; the artifacts lie in the home, since no server takes them."""
    study, events = made_up_study(trials=1), study_events(trials=1, pruned=0, failed=0)
    for _ in range(2):
        tracking = Tracking(study, home=tmp_path, uri=mlflow_server.database, store="file:///s")
        for event in events:
            tracking.see(event)
        tracking.close()
        assert tracking.missing == ""
    client = connected(mlflow_server.uri)
    parent, children = runs_of(client, "cmg")
    assert mirrored(client, children) == recorded(events)
    assert parent.info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
