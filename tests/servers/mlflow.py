"""An MLflow server for the session, on PostgreSQL and with artifacts in S3, that tests can kill and start again."""

import importlib.util
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from platform.mlflow_view.ui_server import HOST, end_server, start_server, wait_until_ready
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

_PATIENCE = 600.0
"""Seconds for a start: a busy machine needs minutes."""


class MlflowServer:
    """A server that keeps its address, database and artifacts from one start to the next."""

    def __init__(self, database: str, *, artifacts: str, messages: Path, environment: Mapping[str, str]) -> None:
        """Start nothing yet; `environment` is what it needs to reach the artifacts."""
        self.database = database
        self._artifacts, self._messages, self._environment = artifacts, messages, environment
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What studies are tracked to."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers. One that does not answer is ended and not kept."""
        if self._process is not None:
            return
        process = self._started()
        if not wait_until_ready(self._port, process, limit=_PATIENCE):
            end_server(process)
            self._port = free_port()  # for the next attempt: this one may be taken
            raise RuntimeError(f"MLflow did not start:\n{self._messages.read_text()[-4000:]}")
        self._process = process

    def _started(self) -> subprocess.Popen[bytes]:
        with self._messages.open("ab") as messages, pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            return start_server(self.database, artifacts=self._artifacts, port=self._port, messages=messages)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)
        self._process = None

    def stop(self) -> None:
        """End it in order, if it runs."""
        if self._process is not None:
            end_server(self._process)
            self._process = None


@pytest.fixture(scope="session")
def s3_environment(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """The environment of an S3 server with the bucket `mindsweep`: Ceph, or moto where Ceph is not installed."""
    try:
        environment: Mapping[str, str] = request.getfixturevalue("ceph").environment
        return environment
    except pytest.skip.Exception:
        keys = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
        endpoint = request.getfixturevalue("s3_endpoint")
        return {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def mlflow_session(
    postgres: Postgres, s3_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """The one server of the session; tests take `mlflow_server`, which runs whatever an earlier test did to it."""
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("psycopg2, with which MLflow speaks to PostgreSQL, is not installed")
    database = postgres.create("mlflow").replace("postgresql:", "postgresql+psycopg2:")
    messages = tmp_path_factory.mktemp("mlflow") / "messages.txt"
    environment = {**s3_environment, "MLFLOW_S3_ENDPOINT_URL": s3_environment["AWS_ENDPOINT_URL"]}
    server = MlflowServer(database, artifacts="s3://mindsweep/mlflow", messages=messages, environment=environment)
    yield server
    server.stop()


@pytest.fixture
def mlflow_server(mlflow_session: MlflowServer) -> MlflowServer:
    """A server that answers."""
    mlflow_session.start()
    return mlflow_session
