"""MLflow as a view in a process of its own: the driver's hands out trials on Ray, and has no time to spare.

The driver sends lines of JSON, which `platform.mlflow_view.tracking_main` reads there. The process ends with the
driver, however that ends.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Self, TypeAlias

from platform.events import TrialEvent
from platform.mlflow_view.missing_entries import warn_of_missing
from storage.environment import variable
from trainables.provenance import ROOT

_log = logging.getLogger(__name__)
Message: TypeAlias = Mapping[str, Any]
_MAIN = "platform.mlflow_view.tracking_main"


@dataclass(frozen=True)
class Places:
    """What the process must know first: the study, and where things are. Not on its command line: URIs have secrets."""

    study: str
    home: str
    store: str
    tracking: str


class TrackingProcess:
    """`Tracking` in another process: the same entries in MLflow, and the same warnings.

    It starts with the first event or with `start`, and reads the study from the store's records. It imports MLflow and
    what the study's figures need, so that this process need not.
    """

    def __init__(self, places: Places) -> None:
        """Start nothing."""
        self._places = places
        self._process: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()
        """Several threads may have the first thing to send."""
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Return this view."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until MLflow has everything; an interrupt of this wait ends the process."""
        if self._process is not None:
            self._finish(self._process)

    def start(self) -> None:
        """Start the process, if it has not started, and return at once."""
        with self._starting:
            if self._process is None:
                self._process = self._started()

    def _started(self) -> "subprocess.Popen[str]":
        own = {"PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()]), "PYTHONIOENCODING": "utf-8"}
        environment = {**os.environ, **own}
        command, pipe, both = [sys.executable, "-m", _MAIN], subprocess.PIPE, subprocess.STDOUT
        with _without_signals():
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=both, env=environment, text=True, encoding="utf-8"
            )
        self._messages.put(asdict(self._places))
        assert process.stdin is not None
        assert process.stdout is not None
        self._do(_send_all, self._messages, process.stdin)
        self._do(_log_lines, process.stdout)
        return process

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, name="MLflow", daemon=True))
        self._threads[-1].start()

    def see(self, event: TrialEvent) -> None:
        """Send one event. The events of a trial must be in order."""
        self._put({"event": event.to_json()})

    def close(self) -> None:
        """Send that there are no more events: the study's results are written. Does not wait."""
        if self._process is not None:
            self._put({"close": True})

    def attach(self, page: Path) -> None:
        """Send where the study's report is. Called after `close`."""
        self._put({"attach": str(page.absolute())})

    def _put(self, message: Message) -> None:
        self.start()
        self._messages.put(message)

    def _finish(self, process: "subprocess.Popen[str]") -> None:
        self._messages.put({"end": True})
        try:
            code = process.wait()
            self._messages.put(None)  # not before: it ends at once if its pipe does
            for thread in self._threads:
                thread.join()
        except KeyboardInterrupt:
            process.kill()
            self._warn("the interrupt")
            raise
        if code != 0:
            self._warn(f"it ended with code {code}")

    def _warn(self, end: str) -> None:
        warn_of_missing(f"what its process did not write before {end}", **asdict(self._places))


@contextmanager
def _without_signals() -> Iterator[None]:
    """Let processes that start in the block get no SIGINT and SIGTERM, from their first moment.

    A terminal, or a scheduler, sends them to all processes of a command. The driver stops, and then sends the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send_all(messages: "SimpleQueue[Message | None]", pipe: IO[str]) -> None:
    """Send messages as they come. They are queued, since a view must not let the study wait for a full pipe."""
    try:
        with pipe:
            while (message := messages.get()) is not None:
                pipe.write(json.dumps(message) + "\n")
                pipe.flush()
    except OSError:  # the process has ended; its exit code says so
        return


def _log_lines(pipe: IO[str]) -> None:
    """Log what the process prints, in this process: its progress table shares the terminal."""
    for line in pipe:
        _log.warning("%s", line.rstrip("\n"))


def _python_path() -> list[str]:
    return [path] if (path := variable("PYTHONPATH")) is not None else []
