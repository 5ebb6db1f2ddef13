"""What tests/groups.py says of tests, seen by some of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.base import Store
from tests.groups import group
from tests.programs import ROOT

TESTS = """
import os, pytest

{mark}
@pytest.mark.parametrize("number", range(4))
def test(number):
    with open(os.environ["RAN"], "a") as file:
        file.write(f"{{os.getpid()}} {{os.path.basename(__file__)}}\\n")
"""


def names(request: pytest.FixtureRequest) -> set[str]:
    """Return the markers of the test that asks, and its group's name."""
    return {marker.name for marker in request.node.iter_markers()} & {"ray", "server"} | {group(request.node)}


def test_a_served_store_needs_a_server(store: Store, request: pytest.FixtureRequest) -> None:
    served = not store.uri.startswith(("file:", "memory:"))
    assert names(request) == ({"server"} if served else {"tests/test_groups.py"})


def test_a_fixture_of_a_server_needs_one(s3_endpoint: str, request: pytest.FixtureRequest) -> None:
    assert names(request) == {"server"}


@pytest.mark.ray
def test_a_test_with_a_ray_of_its_own_is_not_in_the_group_of_the_shared_one(request: pytest.FixtureRequest) -> None:
    assert names(request) == {"ray", "own ray"}


@pytest.mark.long
def test_each_group_runs_in_one_process(tmp_path: Path) -> None:
    """Of two processes: the group of a marker is taken from several files, and all others are grouped by file."""
    for name, mark in (("a", "@pytest.mark.ray"), ("b", "@pytest.mark.ray"), ("c", ""), ("d", "")):
        (tmp_path / f"test_{name}.py").write_text(TESTS.format(mark=mark))
    options = ["-n", "2", "-p", "tests.groups", "-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "--no-loadscope-reorder", *options, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAN": str(tmp_path / "ran")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert len(ran) == 16
    processes = {file: {process for process, other in ran if other == file} for _, file in ran}
    assert processes["test_a.py"] == processes["test_b.py"]
    assert all(len(ids) == 1 for ids in processes.values())
    assert len(set.union(*processes.values())) == 2


def test_a_test_that_needs_nothing_is_grouped_with_its_file(request: pytest.FixtureRequest) -> None:
    assert names(request) == {"tests/test_groups.py"}
