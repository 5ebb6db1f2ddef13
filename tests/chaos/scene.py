"""What a fault finds: the running driver of a case, its workers, and the servers that it uses."""

import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from platform.study.study import Study
from storage import layout
from storage.base import Store
from storage.errors import StoreError
from storage.uri import open_store
from tests.chaos.drivers import Driver
from tests.chaos.servers import NOT_NICE, Servers, variables
from tests.chaos.studies import ChaosStudy
from trainables.telemetry import read_pulses

MARK = "MINDSWEEP_CHAOS_CASE"
"""Environment variable by which all processes of a case are known."""


@dataclass
class Scene:
    """One case while it runs."""

    kind: ChaosStudy
    study: Study
    folder: Path
    """Holds home, temporary folder and messages of the case."""
    servers: Servers
    process: Driver | None = None
    """The driver."""
    hurt: Counter[str] = field(default_factory=Counter)
    """How often the worker of each trial was killed: a third time is one too many for the platform's retries."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "t"

    @property
    def store_uri(self) -> str:
        if self.kind.store == "s3":
            return f"s3://mindsweep/{self.folder.name}"
        return (self.home / "store").as_uri()

    @property
    def tracking(self) -> str:
        if self.kind.tracking == "server":
            return self.servers.mlflow.uri
        return f"sqlite:///{self.home}/mlflow.db"

    @property
    def store(self) -> Store:
        with variables(self.servers.environment(self.kind)):
            return open_store(self.store_uri, patience=5.0)

    @property
    def environment(self) -> Mapping[str, str]:
        mine = {MARK: self.folder.name, "TMPDIR": str(self.temporary), **NOT_NICE}
        return {**os.environ, **self.servers.environment(self.kind), **mine}

    def events(self) -> int:
        """Return the number of stored events; 0 if the store does not answer."""
        try:
            return sum(1 for _ in self.store.list(layout.events(self.study.id)))
        except StoreError:
            return 0

    def pulses(self) -> dict[str, dict[str, Any]]:
        """Return the last signs of life of workers that live, by trial or stage run."""
        try:
            pulses = read_pulses(self.store, self.study.id)
        except StoreError:
            return {}
        return {name: pulse for name, pulse in pulses.items() if psutil.pid_exists(pulse["pid"])}

    def signal(self, number: signal.Signals) -> bool:
        """Send the driver a signal; return whether it still ran."""
        assert self.process is not None
        if self.process.poll() is not None:
            return False
        self.process.send_signal(number)
        return True


def processes_of(mark: str) -> list[psutil.Process]:
    """Return the living processes whose environment has the mark of a case."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
