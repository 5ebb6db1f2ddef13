"""The servers of a campaign, each started when a case first needs it, and all stopped at the end."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType

import boto3.session
import pytest

from platform.mlflow_view.client import connected
from tests.chaos.studies import ChaosStudy
from tests.nodes import LOOPBACK, Nodes
from tests.servers import ceph, postgres
from tests.servers.mlflow import MlflowServer
from tests.servers.postgres import Postgres

NOT_NICE = {"RAY_worker_niceness": "0"}
"""Ray's workers would wait for all other work of a busy machine."""


class Servers:
    """Ceph's S3 gateway, PostgreSQL, MLflow on both, and a Ray cluster of two nodes."""

    def __init__(self, folder: Path) -> None:
        """Keep messages and the nodes' disks in `folder`."""
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> "Servers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def ceph(self) -> ceph.Ceph:
        server = self._stack.enter_context(ceph.running())
        with variables(server.environment):
            boto3.session.Session().client("s3").create_bucket(Bucket="mindsweep")
        return server

    @cached_property
    def postgres(self) -> Postgres:
        programs = postgres.installed()
        assert programs is not None, "PostgreSQL is not installed (Debian: postgresql)"
        return self._stack.enter_context(postgres.running(programs, *postgres.FAST))

    @cached_property
    def mlflow(self) -> MlflowServer:
        database = self.postgres.create("chaos").replace("postgresql:", "postgresql+psycopg2:")
        environment = {**self.ceph.environment, "MLFLOW_S3_ENDPOINT_URL": self.ceph.endpoint}
        messages = self._folder / "mlflow.txt"
        server = MlflowServer(database, artifacts="s3://mindsweep/mlflow", messages=messages, environment=environment)
        server.start()
        self._stack.callback(server.stop)
        return server

    @cached_property
    def database(self) -> Path:
        """A database with MLflow's tables and nothing in them: making one takes seconds."""
        connected(f"sqlite:///{self._folder}/mlflow.db")
        return self._folder / "mlflow.db"

    @cached_property
    def nodes(self) -> Nodes:
        folder = self._folder / "nodes"
        folder.mkdir()
        with variables(NOT_NICE):
            cluster = Nodes(folder)
        self._stack.callback(cluster.close)
        cluster.renew(2)
        return cluster

    def environment(self, study: ChaosStudy) -> Mapping[str, str]:
        """Return what the drivers of a study need in their environment."""
        s3 = self.ceph.environment if study.store == "s3" else {}
        return {**s3, **(LOOPBACK if study.where == "nodes" else {})}


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have some environment variables in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield
