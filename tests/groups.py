"""What each test needs, and which tests run one after another: decided here, from their fixtures and markers.

Tests on the session's Ray cluster are one group, those with a Ray of their own another, those with servers alone a
third; all others are grouped by file. With `-n N` each group runs in one process, and long groups begin first. Tests
with Ray wait much more than they compute, so that two of their groups share two cores with a third process.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

SHARED_RAY = frozenset({"local_ray", "ray_cluster"})
RAY_FIXTURES = SHARED_RAY | {"nodes", "ray_folder"}
SERVER_FIXTURES = frozenset(
    {"browser", "ceph", "ceph_store", "mlflow_server", "postgres", "s3_endpoint", "s3_environment", "s3_store"}
)
SERVED_PARAMETERS = frozenset({"ceph", "ceph_store", "s3", "s3_store"})
"""Parameters that name a fixture of a server, which `request.getfixturevalue` then starts."""
CEPH = frozenset({"ceph", "ceph_store"})
"""Fixtures and parameters of Ceph's gateway, which takes long to start and longer than others for each write."""
_FIRST = ("ray", "own ray", "server")
_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests, and put the groups that take longest first."""
    for item in items:
        for marker in needs(item):
            item.add_marker(marker)
    items.sort(key=lambda item: _rank(group(item)))


def needs(item: pytest.Item) -> set[str]:
    """Return which of the markers `ray`, `server` and `long` the fixtures and parameters of a test call for."""
    markers = set()
    if (_fixtures(item) | _parameters(item)) & CEPH:
        markers.add("long")
    if _fixtures(item) & RAY_FIXTURES:
        markers.add("ray")
    if _fixtures(item) & SERVER_FIXTURES or _parameters(item) & SERVED_PARAMETERS:
        markers.add("server")
    return markers


def group(item: pytest.Item) -> str:
    """Return the name of the group of a test that is marked."""
    if item.get_closest_marker("ray") is not None:
        return "ray" if _fixtures(item) & SHARED_RAY else "own ray"
    if item.get_closest_marker("server") is not None:
        return "server"
    return item.nodeid.partition("::")[0]


def _fixtures(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))


def _parameters(item: pytest.Item) -> set[Any]:
    specification = getattr(item, "callspec", None)
    values = () if specification is None else specification.params.values()
    return {value for value in values if isinstance(value, str)}


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


# With `-n N`, the process that spreads the tests knows their names alone. Fixtures are known where tests are collected,
# so each of these processes leaves the groups in a file. (xdist's own groups need a private attribute of pytest items
# that pytest 9 no longer has.)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each process whole groups."""

    def __init__(self, config: pytest.Config, log: Producer, *, folder: Path) -> None:
        super().__init__(config, log)
        self._folder = folder
        self._groups: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        if not self._groups:
            self._groups = json.loads(next(self._folder.iterdir()).read_text())
        return self._groups[nodeid]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in which the processes leave the groups."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="mindsweep-groups-")
        config.stash[_FOLDER] = Path(folder.name)
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a process where to leave the groups."""
    node.workerinput["groups"] = str(node.config.stash[_FOLDER])


@pytest.hookimpl(tryfirst=True)  # before xdist tells the spreading process that this one has collected
def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the groups of all collected tests for the process that spreads them."""
    worker = getattr(session.config, "workerinput", None)
    if worker is not None:
        path = Path(worker["groups"]) / worker["workerid"]
        path.write_text(json.dumps({item.nodeid: group(item) for item in session.items}), encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """Spread tests by these groups."""
    return GroupScheduling(config, log, folder=config.stash[_FOLDER])
