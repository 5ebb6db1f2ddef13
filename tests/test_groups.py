"""What tests/groups.py says of tests, seen by some of them."""

import pytest

from storage.base import Store


def names(request: pytest.FixtureRequest) -> set[str]:
    """Return the markers of the test that asks, and its group's name."""
    groups = {marker.args[0] for marker in request.node.iter_markers("xdist_group")}
    return {marker.name for marker in request.node.iter_markers()} & {"ray", "server"} | groups


def test_a_served_store_needs_a_server(store: Store, request: pytest.FixtureRequest) -> None:
    served = not store.uri.startswith(("file:", "memory:"))
    assert names(request) == ({"server"} if served else {"tests/test_groups.py"})


def test_a_fixture_of_a_server_needs_one(s3_endpoint: str, request: pytest.FixtureRequest) -> None:
    assert names(request) == {"server"}


@pytest.mark.ray
def test_a_test_with_a_ray_of_its_own_is_in_the_group_of_the_shared_one(request: pytest.FixtureRequest) -> None:
    assert names(request) == {"ray"}


def test_a_test_that_needs_nothing_is_grouped_with_its_file(request: pytest.FixtureRequest) -> None:
    assert names(request) == {"tests/test_groups.py"}
