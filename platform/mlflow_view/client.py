"""Connects to MLflow and writes entries with its client. The only module that imports mlflow."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from platform.mlflow_view.mirror import DataSet, Entries
from platform.mlflow_view.saved_view import EXPERIMENTS, NOTE
from platform.tracking_uri import is_server, sqlite_path
from storage import layout
from storage.environment import without_secrets
from storage.owned_folders import owned_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities import RunInfo

__all__ = [
    "TEMPORARY",
    "MlflowClient",
    "MlflowRun",
    "RunInfo",
    "artifact_folder",
    "connected",
    "find_experiment",
    "log",
]

_log = logging.getLogger(__name__)
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Few messages and short timeouts: the background writer retries, not MLflow's client."""
TEMPORARY = "mindsweep-mlflow-"
"""First letters of the temporary folders with files for MLflow."""
_REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's error codes for which a retry is useless."""


def log(client: MlflowClient, run: RunInfo, entries: Entries, *, store: str = "") -> None:
    """Write `entries`, tags last. Entries that MLflow refuses are skipped with a warning.

    `store` is the URI of the object store that holds the data set.
    """
    from mlflow.entities import Metric, Param, RunTag

    run_id = run.run_id
    parameters = [Param(name, value) for name, value in entries.params.items()]
    metrics = [Metric(*point) for point in entries.points]
    tags = [RunTag(name, value) for name, value in entries.tags.items()]
    if parameters:  # separately: a request has at most 1 MB, and a refused one must not drop metrics
        _unless_refused(run_id, lambda: client.log_batch(run_id, params=parameters))
    if entries.texts:
        _log_texts(client, run, entries.texts)
    used, status = entries.dataset, entries.status
    if used is not None:
        _unless_refused(run_id, lambda: _log_dataset(client, run_id, used, store=store))
    if status is not None:
        _unless_refused(run_id, lambda: client.set_terminated(run_id, status, entries.ended))
    if metrics or tags:
        _unless_refused(run_id, lambda: client.log_batch(run_id, metrics, tags=tags))


def _log_texts(client: MlflowClient, run: RunInfo, texts: Mapping[str, str]) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    # Not by `client.log_artifact`, which reads the whole run to find its folder.
    repository = get_artifact_repository(run.artifact_uri, tracking_uri=client.tracking_uri)
    # Not by `log_text`: killed, it leaves its temporary folder.
    with owned_folder(TEMPORARY) as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            repository.log_artifact(str(folder / name))  # type: ignore[no-untyped-call]


def _unless_refused(run_id: str, write: Callable[[], object]) -> None:
    """Call `write`; if MLflow refuses it for good (for example because the run was deleted), log a warning."""
    from mlflow.exceptions import MlflowException

    try:
        write()
    except MlflowException as error:
        if error.error_code not in _REFUSED:
            raise
        _log.warning("MLflow refuses entries of run %s: %s", run_id, without_secrets(str(error)))


def _log_dataset(client: MlflowClient, run_id: str, used: DataSet, *, store: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": f"{store.rstrip('/')}/{layout.manifest(used.identity)}"})
    dataset = Dataset(name=used.name, digest=used.digest, source_type="mindsweep", source=source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def find_experiment(client: MlflowClient, name: str, *, artifacts: str | None, note: str) -> str:
    """Return the ID of the experiment `mindsweep/<name>`; create or restore it if necessary. `note` describes it."""
    from mlflow.exceptions import MlflowException

    full = f"{EXPERIMENTS}{name}"
    experiment = client.get_experiment_by_name(full)
    if experiment is None:
        try:
            location = None if artifacts is None else f"{artifacts}/{name}"
            tags = {"mlflow.experimentKind": "custom_model_development", NOTE: note}
            return client.create_experiment(full, artifact_location=location, tags=tags)
        except MlflowException:  # raised again unless another driver has just created it
            experiment = client.get_experiment_by_name(full)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def artifact_folder(uri: str, *, home: Path) -> str | None:
    """Return the URI of the artifact folder of a database; None for a server, which stores artifacts itself."""
    return None if is_server(uri) else (home / "mlartifacts").resolve().as_uri()


def connected(uri: str) -> MlflowClient:
    """Import mlflow and return a client. A local database file is created with its tables if necessary."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # another library may have imported them before
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # the writer reports an outage once
    path = sqlite_path(uri)
    if path is not None:
        _make_database(path)
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Create a local database with all its tables, or not at all; one that a killed process left unfinished is redone.

    MLflow creates the tables one by one and its version last. A process that is killed in between would leave a file
    with which no later one can work, and two processes at the same time would break it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and not _is_unfinished(path):
            return
        if path.exists():
            aside = path.with_suffix(".unfinished")
            _log.warning("%s has no version of its tables: its making was interrupted. It is now %s", path, aside)
            os.replace(path, aside)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # left by a killed process
        _make_tables(f"sqlite:///{fresh}")
        os.replace(fresh, path)


def _make_tables(uri: str) -> None:
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def _is_unfinished(path: Path) -> bool:
    """Return whether an SQLite file lacks MLflow's version. Other files, also empty ones, are left to MLflow."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
            return bool(tables) and (
                "alembic_version" not in tables
                or database.execute("select count(*) from alembic_version").fetchone() == (0,)
            )
    except sqlite3.Error:
        return False
