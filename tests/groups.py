"""What each test needs, and the group that it runs in: decided here for all tests, from their fixtures and markers.

`pytest -n 2` runs each group in one process, so that a server or a Ray cluster is started once. Tests that need neither
are grouped by file, since fixtures of a file are made once per process. Groups that mostly wait come first.
"""

from typing import Any

import pytest

RAY_FIXTURES = frozenset({"local_ray", "nodes", "ray_cluster", "ray_folder"})
SERVER_FIXTURES = frozenset(
    {"browser", "ceph", "ceph_store", "mlflow_server", "postgres", "s3_endpoint", "s3_environment", "s3_store"}
)
SERVED_PARAMETERS = frozenset({"ceph", "ceph_store", "s3", "s3_store"})
"""Parameters that name a fixture of a server, which `request.getfixturevalue` then starts."""
_FIRST = ("ray", "server")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects, and before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests, and put the groups that take longest first."""
    for item in items:
        for marker in needs(item):
            item.add_marker(marker)
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=_order)


def needs(item: pytest.Item) -> set[str]:
    """Return which of the markers `ray` and `server` the fixtures and parameters of a test call for."""
    fixtures = frozenset(getattr(item, "fixturenames", ()))
    found = set()
    if fixtures & RAY_FIXTURES:
        found.add("ray")
    if fixtures & SERVER_FIXTURES or _parameters(item) & SERVED_PARAMETERS:
        found.add("server")
    return found


def group(item: pytest.Item) -> str:
    """Return the name of the group of a test that is marked."""
    for marker in _FIRST:
        if item.get_closest_marker(marker) is not None:
            return marker
    return item.nodeid.partition("::")[0]


def _parameters(item: pytest.Item) -> set[Any]:
    specification = getattr(item, "callspec", None)
    values = () if specification is None else specification.params.values()
    return {value for value in values if isinstance(value, str)}


def _order(item: pytest.Item) -> int:
    name = group(item)
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)
