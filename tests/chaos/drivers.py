"""Starts drivers: as commands, or forked from a process that has loaded their libraries, which takes seconds of CPU.

A study in one process is driven by a forked one: loading would take longer than the study.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

from tests.chaos.driver import Inner, drive
from tests.programs import ROOT

_LOADED = ("tests.chaos.driver", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "optuna", "pyarrow.parquet",
           "platform.launch", "platform.run.inline", "platform.run.dispatch", "platform.mlflow_view.tracking",
           "platform.mlflow_view.summary", "boto3.session")  # fmt: skip


class Driver(Protocol):
    """A driver that was started."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it."""

    def poll(self) -> int | None:
        """Return that, or None while it runs."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""


@dataclass(frozen=True)
class Command:
    """What a driver is to do."""

    inner: Inner
    arguments: Sequence[str]
    """The verb and its arguments."""
    environment: Mapping[str, str]
    out: Path
    err: Path


class Forked:
    """A driver that was forked."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid, self._process = process.pid, process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


def execute(command: Command) -> Driver:
    """Start a driver as a command of its own."""
    usual = asdict(Inner())
    inner = {name: value for name, value in asdict(command.inner).items() if value != usual[name]}
    words = [sys.executable, "-m", "tests.chaos.driver", json.dumps(inner), *command.arguments]
    with command.out.open("wb") as out, command.err.open("wb") as err:
        return subprocess.Popen(
            words, cwd=ROOT, env=dict(command.environment), stdout=out, stderr=err, start_new_session=True
        )


def fork(command: Command) -> Driver:
    """Start a driver from a process that has loaded what it needs."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_LOADED))
    process = context.Process(target=_forked, args=(command,))
    process.start()
    return Forked(process)


def _forked(command: Command) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(ROOT)
    for path, descriptor in ((command.out, 1), (command.err, 2)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    sys.argv = ["tests.chaos.driver", *command.arguments]
    code = drive(command.inner, command.arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
