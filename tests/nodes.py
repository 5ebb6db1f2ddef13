"""A Ray cluster of several nodes that share nothing but their stores, as those of a real one do."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.programs import ROOT, program

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Of every process of this cluster and its drivers: Ray decides on import whether one stays on the loopback address."""


class Nodes:
    """A head that runs no trials, in a process of its own, and nodes of one CPU, each named by its raylet's id."""

    def __init__(self, folder: Path) -> None:
        """Start the head alone; `folder`, where it runs, holds no checkout of the project."""
        self._folder, self._intact = folder, True
        self.disks: dict[int, Path] = {}
        """What each node takes for its own disk, in the order in which the nodes came."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "tests" / "programs" / "nodes.py")],
            cwd=folder,
            env={**os.environ, **LOOPBACK},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.address = self._answer()

    def add(self) -> int:
        """Add a node and return its raylet's id."""
        disk = self._folder / f"disk{len(list(self._folder.iterdir()))}"
        disk.mkdir()
        raylet = int(self._ask(f"add {disk}"))
        self.disks[raylet] = disk
        return raylet

    def lose(self, raylet: int) -> None:
        """Take a node away without a warning."""
        self._ask(f"lose {raylet}")
        del self.disks[raylet]
        self._intact = False

    def renew(self, count: int) -> None:
        """Have so many nodes, and none of those that were there when one was lost."""
        if self._intact and len(self.disks) == count:
            return
        for raylet in list(self.disks):
            self._ask(f"remove {raylet}")
            del self.disks[raylet]
        for _ in range(count):
            self.add()
        self._intact = True

    def drive(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        """Start the program `name` as a driver of this cluster, whose address it gets as its last argument."""
        command, pipe = program(name, *arguments, self.address), subprocess.PIPE
        environment = {**os.environ, **LOOPBACK}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe)

    def close(self) -> None:
        """End all nodes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the cluster of several nodes ended"
        return answer


@pytest.fixture(scope="session")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str, aws: Callable[[str], AbstractContextManager[None]]
) -> Iterator[Nodes]:
    """The one cluster of the session, whose nodes know the S3 server from their environment."""
    with aws(s3_endpoint):
        cluster = Nodes(tmp_path_factory.mktemp("nodes"))
    yield cluster
    cluster.close()


@pytest.fixture
def two_nodes(nodes: Nodes) -> Nodes:
    """Two nodes that have lost no other."""
    nodes.renew(2)
    return nodes
