"""Events that the store has not taken yet, in a file of this machine, so that neither its absence nor a kill loses one.

Every event is appended to the file before the store is asked, and the file is emptied whenever the store has all of
them. What a killed driver left, or one whose store never came back, the next driver of the study delivers first.
"""

import json
import logging
import os
import threading
from pathlib import Path
from typing import BinaryIO

from platform.events import TrialEvent
from storage.errors import ExistsError
from storage.events import EventLog
from trainables.identity import digest

_log = logging.getLogger(__name__)


class Spool:
    """The waiting events of one study for one store, one JSON object on each line. May be used from several threads."""

    def __init__(self, home: Path, study: str, *, store: str) -> None:
        """Touch nothing yet; the file lies in `<home>/spool`, for the store with the URI `store`."""
        self.path = home / "spool" / f"{study}-{digest(store, length=8)}.jsonl"
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many events the store has not taken."""
        return self._waiting

    def add(self, event: TrialEvent) -> None:
        """Append `event`. Once this returns it outlives this process, and after `secure` the machine."""
        line = json.dumps(event.to_json()).encode() + b"\n"
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
            self._file.write(line)
            self._waiting += 1

    def delivered(self) -> None:
        """Note that the store took the first of the waiting events; empty the file if it was the last."""
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0 and self._file is not None:
                self._file.truncate(0)

    def secure(self) -> None:
        """Let what was added outlive a power cut: not for every event, only while the store does not answer."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file)

    def close(self) -> None:
        """Close the file, and remove it if nothing waits."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
                if self._waiting == 0:
                    self.path.unlink()

    def deliver(self, log: EventLog) -> int:
        """Append to `log` what an earlier driver left, in order, and return how many events were new to it.

        What the log holds already is left out. A trial with which another driver went on meanwhile stays as that one
        left it: its own record is whole.
        """
        new, passed = 0, set[str]()
        for event in self._left():
            if event.trial in passed:
                continue
            try:
                log.append(event.trial, event.sequence, event.to_json())
                new += 1
            except ExistsError:
                if log.get(event.trial, event.sequence) != event.to_json():
                    passed.add(event.trial)
        if passed:
            _log.warning("%s: another driver went on with %s; what waited of it is left out", self.path, sorted(passed))
        self.path.unlink(missing_ok=True)
        return new

    def _left(self) -> list[TrialEvent]:
        if not self.path.exists():
            return []
        *lines, torn = self.path.read_bytes().split(b"\n")
        if torn:
            _log.warning("%s: its last line is torn and left out", self.path)
        return [TrialEvent.from_json(json.loads(line)) for line in lines]
