"""A study mirrored into MLflow, and whether MLflow then holds what the store's records hold: all of it, once."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from platform.events import TrialEvent
from platform.mlflow_view import client as mlflow_client
from platform.tracking_uri import default_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from platform.study.study import Study

Points = Counter[tuple[str, str, int]]
"""How often each (trial, metric, epoch) is there."""


def recorded(events: Iterable[TrialEvent]) -> Points:
    """Return the metric values of all epochs by the store's records."""
    rows = [(event.trial, row) for event in events if event.kind == "epochs" for row in event.body["rows"]]
    return Counter((trial, f"{row['stage']}.{name}", row["epoch"]) for trial, row in rows for name in row["metrics"])


def mirrored(client: "MlflowClient", trials: Mapping[str, Any]) -> Points:
    """Return the same by the runs of `trials` in MLflow."""

    def points() -> Iterator[tuple[str, str, int]]:
        for trial, run in trials.items():
            for key in run.data.metrics:
                if key.startswith("epochs/"):
                    history = client.get_metric_history(run.info.run_id, key)
                    yield from ((trial, key.removeprefix("epochs/"), point.step) for point in history)

    return Counter(points())


def runs_of(client: "MlflowClient", experiment: str) -> tuple[Any, dict[str, Any]]:
    """Return the study's run and those of its trials, each of which has one."""
    found = client.get_experiment_by_name(f"mindsweep/{experiment}")
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    (parent,) = (run for run in runs if run.data.tags["mindsweep.kind"] == "study")
    children = {run.info.run_name: run for run in runs if run is not parent}
    assert len(children) == len(runs) - 1, "a trial has two runs"
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    return parent, children


def mirror(home: Path, study: "Study", events: Sequence[TrialEvent], **options: Any) -> None:
    from platform.mlflow_view.tracking import Tracking  # seconds, which a pytest that runs other tests need not wait

    tracking = Tracking(study, home=home, uri=default_tracking(home), store=f"file://{home}/store", **options)
    for event in events:
        tracking.see(event)
    tracking.close()


def runs_by_name(home: Path) -> dict[str, Any]:
    from platform.mlflow_view.client import connected

    client = connected(default_tracking(home))
    experiments = [e.experiment_id for e in client.search_experiments() if e.name.startswith("mindsweep/")]
    return {run.info.run_name: run for run in client.search_runs(experiments, max_results=1000)}


def rows(home: Path) -> dict[str, list[Any]]:
    """Return every row that could be doubled."""
    with sqlite3.connect(home / "mlflow.db") as database:
        return {
            "runs": database.execute("select name, status, start_time, end_time from runs order by name").fetchall(),
            "metrics": sorted(database.execute("select run_uuid, key, step, timestamp, value from metrics").fetchall()),
            "params": sorted(database.execute("select run_uuid, key, value from params").fetchall()),
            "inputs": database.execute("select count(*) from inputs").fetchall(),
            "models": database.execute("select name, version from model_versions").fetchall(),
        }


@pytest.fixture(scope="session", autouse=True)
def tables_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's tables of a local database take seconds to make: each process makes them once, and copies them."""
    made = tmp_path_factory.mktemp("database") / "mlflow.db"
    make = mlflow_client._make_tables

    def copied(uri: str) -> None:
        if not made.exists():
            make(f"sqlite:///{made}")
        shutil.copy(made, uri.removeprefix("sqlite:///"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_client, "_make_tables", copied)
        yield


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no figures of sweeps: seconds each time, where no test looks at them."""
    monkeypatch.setattr("platform.figures.page.write", lambda data, **files: None)


@pytest.fixture
def new_home(tmp_path: Path, no_figures: None) -> Callable[[str], Path]:
    """Makes home folders with nothing in them, where no figures are drawn."""

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make
