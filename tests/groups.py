"""What each test needs: decided here for all tests, from their fixtures and markers.

Tests with Ray come first, then those with servers. `make test` runs both in one process: with pytest 9.2, xdist 3.8
does not see the groups that tests are given (it sets a private attribute that is gone), and two Ray clusters at a time
on two cores miss their own deadlines. The groups are kept for an xdist that sees them.
"""

from typing import Any

import pytest

RAY_FIXTURES = frozenset({"local_ray", "ray_cluster", "nodes", "ray_folder"})
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
    markers = set()
    if _fixtures(item) & RAY_FIXTURES:
        markers.add("ray")
    if _fixtures(item) & SERVER_FIXTURES or _parameters(item) & SERVED_PARAMETERS:
        markers.add("server")
    return markers


def group(item: pytest.Item) -> str:
    """Return the name of the group of a test that is marked."""
    if item.get_closest_marker("ray") is not None:
        return "ray"
    if item.get_closest_marker("server") is not None:
        return "server"
    return item.nodeid.partition("::")[0]


def _fixtures(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))


def _parameters(item: pytest.Item) -> set[Any]:
    specification = getattr(item, "callspec", None)
    values = () if specification is None else specification.params.values()
    return {value for value in values if isinstance(value, str)}


def _order(item: pytest.Item) -> tuple[int, bool]:
    """Sort groups that take long first and, among tests with Ray, those on the session's cluster first."""
    name = group(item)
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), not _fixtures(item) & {"local_ray", "ray_cluster"}
