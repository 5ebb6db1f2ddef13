"""The stores that the contract suite runs over: a new backend is one entry of `STORES`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from storage.base import Store
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.retry import RetryPolicy
from tests.servers.ceph import Ceph


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server of this process, with the bucket `mindsweep`."""
    import boto3.session
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with _aws_environment(endpoint):
        boto3.session.Session().client("s3").create_bucket(Bucket="mindsweep")
    yield endpoint
    server.stop()


@contextmanager
def _aws_environment(endpoint: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "testkey")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture(scope="session")
def s3_store(s3_endpoint: str) -> Store:
    """One store for all tests (a client takes a while to make); `store` empties it."""
    from storage.s3 import S3Store

    with _aws_environment(s3_endpoint):
        return S3Store("mindsweep", "tests/contract", retry=RetryPolicy(patience=1.0, first_wait=0.01))


@pytest.fixture(scope="session")
def ceph_store(ceph: Ceph) -> Store:
    """The same on a real server."""
    from storage.s3 import S3Store

    with _aws_environment(ceph.endpoint):
        return S3Store("mindsweep", "tests/contract")


def _emptied(store: Store) -> Store:
    for key in store.list(""):
        store.delete(key)
    return store


@pytest.fixture(scope="session")
def aws() -> Callable[[str], AbstractContextManager[None]]:
    """Sets the environment for an S3 endpoint: `with aws(endpoint): ...`."""
    return _aws_environment


STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "ceph": lambda request: _emptied(request.getfixturevalue("ceph_store")),
    "file": lambda request: LocalStore(request.getfixturevalue("tmp_path") / "store"),
    "memory": lambda _: MemoryStore(),
    "s3": lambda request: _emptied(request.getfixturevalue("s3_store")),
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of each kind."""
    return STORES[request.param](request)


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    """An empty `file://` store in `tmp_path / "store"`."""
    return LocalStore(tmp_path / "store")
