"""Undelivered events in a local file, so that no event is lost if the store is down or the driver is killed.

Every event is appended to the file before it is written to the store. The file is emptied when the store has all
events. If a driver ends before that, the next driver of the study delivers the events first.
"""

import errno
import json
import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import BinaryIO

from platform.events import TrialEvent
from storage.errors import ExistsError, IntegrityError, NotFoundError
from storage.events import EventLog
from trainables.identity import digest

_log = logging.getLogger(__name__)


def local_name(study: str, store: str) -> str:
    """Return the name of local files of a study: the store with another URI may hold one of the same id."""
    return f"{study}-{digest(store, length=8)}"


def _holds(log: EventLog, trial: str, sequence: int) -> bool:
    try:
        log.get(trial, sequence)
    except (NotFoundError, IntegrityError):
        return False
    return True


class Spool:
    """The undelivered events of one study for one store, one JSON object per line. Thread-safe."""

    def __init__(self, home: Path, study: str, *, store: str) -> None:
        """Use a file in `<home>/spool` for the store with the URI `store`; it is opened by the first `add`."""
        self.path = home / "spool" / f"{local_name(study, store)}.jsonl"
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._waiting = 0
        self._unwritten: deque[bytes] = deque()
        """Lines of the last undelivered events, which the file does not have yet: later ones must not overtake them."""
        self._warned = False

    @property
    def waiting(self) -> int:
        """The number of undelivered events."""
        return self._waiting

    def add(self, event: TrialEvent) -> None:
        """Append `event`. It then survives the end of this process, and after `secure` also a power failure.

        While the file cannot be written, as on a full disk, events wait for the store in memory alone.
        """
        with self._lock:
            self._waiting += 1
            self._unwritten.append(json.dumps(event.to_json()).encode() + b"\n")
            self._write()

    def _write(self) -> None:
        """Write the lines that wait for it, in order, as far as possible."""
        try:
            while self._unwritten:
                self._append(self._unwritten[0])
                self._unwritten.popleft()
        except OSError as error:
            if not self._warned:
                _log.warning("%s cannot be written (%s): events wait for the store in memory alone", self.path, error)
            self._warned = True

    def _append(self, line: bytes) -> None:
        """Write the whole line, or nothing of it. Raises `OSError`."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        before = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(before)
            raise

    def delivered(self) -> None:
        """Mark the first undelivered event as delivered; empty the file if it was the last one."""
        with self._lock:
            if len(self._unwritten) == self._waiting:
                self._unwritten.popleft()
            self._waiting -= 1
            if self._waiting == 0 and self._file is not None:
                self._file.truncate(0)

    def secure(self) -> None:
        """Flush the file to disk. Called only while the store does not respond, since it is slow."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file)

    def close(self) -> None:
        """Close the file, and remove it if all events are delivered."""
        with self._lock:
            self._write()
            if self._file is not None:
                self._file.close()
                self._file = None
                if self._waiting == 0:
                    self.path.unlink(missing_ok=True)

    def deliver(self, log: EventLog) -> int:
        """Append the events of an earlier driver to `log`, in order, and return how many of them were new.

        Events that the log already holds are skipped. If another driver has continued a trial, its record is complete,
        and the remaining events of that trial are dropped.
        """
        new, passed, broken = 0, set[str](), set[str]()
        for event in self._undelivered():
            if event.trial in passed | broken:
                continue
            if event.sequence > 0 and not _holds(log, event.trial, event.sequence - 1):
                _log.warning("%s: an event before %d of %s is missing", self.path, event.sequence, event.trial)
                broken.add(event.trial)
                continue
            try:
                log.append(event.trial, event.sequence, event.to_json())
                new += 1
            except ExistsError:
                if log.get(event.trial, event.sequence) != event.to_json():
                    passed.add(event.trial)
        if passed:
            _log.warning("%s: another driver continued %s; their events here are dropped", self.path, sorted(passed))
        self.path.unlink(missing_ok=True)
        return new

    def _undelivered(self) -> list[TrialEvent]:
        if not self.path.exists():
            return []
        events = []
        *lines, torn = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                events.append(TrialEvent.from_json(json.loads(line)))
            except (ValueError, RecursionError, IntegrityError):
                _log.warning("%s: line %d is damaged; it and the lines after it are skipped", self.path, number)
                return events
        if torn:
            _log.warning("%s: the last line is incomplete and skipped", self.path)
        return events
