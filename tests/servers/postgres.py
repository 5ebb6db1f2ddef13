"""PostgreSQL in a temporary folder, on loopback, thrown away at the end; the one of the tests is made to be fast."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import free_port

_PROGRAMS = ("initdb", "postgres", "pg_isready", "createdb")
_NOBODY = 65534
_PATIENCE = 600.0
"""Seconds for each step of a start: a busy machine needs minutes."""
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_connections=200")


@dataclass
class Postgres:
    """A running server whose superuser `postgres` needs no password. What was committed survives `kill`."""

    programs: Path
    port: int
    _command: Sequence[str]
    _folder: str
    _process: "subprocess.Popen[bytes] | None" = None

    def create(self, name: str) -> str:
        """Make the database `name` and return its URI, which names no driver."""
        self.run("createdb", "-U", "postgres", name)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> None:
        """Run a client program. Raises `subprocess.CalledProcessError`."""
        where = ("-h", "127.0.0.1", "-p", str(self.port))
        subprocess.run([str(self.programs / program), *where, *arguments], check=True, capture_output=True)

    def start(self) -> None:
        """Start it, which must not run, and wait until it answers."""
        self._process = _start(self._folder, *self._command)
        _wait(self, self._process)

    def kill(self) -> None:
        """End it as a crash would: the next start recovers from its log."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)  # what PostgreSQL calls an immediate shutdown
        self._process.wait(20)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests. Skips where PostgreSQL is not installed."""
    programs = installed()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with running(programs, *FAST) as server:
        yield server


@contextmanager
def running(programs: Path, *settings: str) -> Iterator[Postgres]:
    """Start a new server with `settings` beyond its defaults; it and its folder are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mindsweep-pg-") as folder:  # short: it holds a socket
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        make = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
        made = _start(folder, str(programs / "initdb"), "-D", f"{folder}/data", *make)
        assert made.wait(_PATIENCE) == 0, "initdb failed"
        port = free_port()
        places = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}")
        options = [text for setting in (*places, *settings) for text in ("-c", setting)]
        command = (str(programs / "postgres"), "-D", f"{folder}/data", "-p", str(port), *options)
        server = Postgres(programs, port, command, folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def installed() -> Path | None:
    """Return the folder of the newest PostgreSQL server, or None; Debian keeps its programs out of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    for folder in (*debian, *map(Path, os.get_exec_path())):
        if all((folder / name).is_file() for name in _PROGRAMS) and shutil.which("setpriv") is not None:
            return folder
    return None


def _start(folder: str, *command: str) -> subprocess.Popen[bytes]:
    """Start a program that ends when we do, and not as root, which PostgreSQL refuses to be."""
    user = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return subprocess.Popen(
        ["setpriv", "--pdeathsig=QUIT", *user, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": folder},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait(server: Postgres, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return server.run("pg_isready", "-q")
        except subprocess.CalledProcessError:
            assert process.poll() is None, "PostgreSQL ended at its start"
            assert time.monotonic() < deadline, "PostgreSQL did not start within a minute"
            time.sleep(0.1)
