"""Events that wait on this machine for the store."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from platform.events import TrialEvent
from platform.record.spool import Spool, local_name
from storage.events import EventLog
from storage.memory import MemoryStore
from tests.platform.made_up_events import made_up_event

STORE = "s3://bucket/prefix"


def event(trial: str, sequence: int, *, attempt: int = 1) -> TrialEvent:
    return made_up_event(trial, sequence, "started", 0.25, {"attempt": attempt})


def left_behind(home: Path, *events: TrialEvent) -> Path:
    """Leave a spool as a killed driver does: no close."""
    spool = Spool(home, "study", store=STORE)
    for one in events:
        spool.add(one)
    return spool.path


def test_what_a_killed_driver_left_is_delivered_once_and_in_order(tmp_path: Path) -> None:
    log, events = EventLog(MemoryStore(), "study"), [event(trial, n) for n in range(3) for trial in ("a", "b")]
    for one in events[:2]:
        log.append(one.trial, one.sequence, one.to_json())  # the last thing that it did
    path = left_behind(tmp_path, *events)
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 4
    assert [TrialEvent.from_json(value) for value in log.read()] == sorted(events, key=lambda e: (e.trial, e.sequence))
    assert not path.exists()
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 0


def test_a_trial_that_another_driver_went_on_with_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(MemoryStore(), "study")
    left_behind(tmp_path, event("a", 0), event("b", 0), event("a", 1), event("b", 1))
    theirs = event("a", 0, attempt=2)
    log.append("a", 0, theirs.to_json())
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 2
    assert list(log.read()) == [one.to_json() for one in (theirs, event("b", 0), event("b", 1))]
    assert "another driver continued ['a']" in caplog.text


def test_a_line_that_a_power_cut_tore_is_left_out(tmp_path: Path) -> None:
    path = left_behind(tmp_path, event("a", 0), event("a", 1))
    path.write_bytes(path.read_bytes()[:-5])
    log = EventLog(MemoryStore(), "study")
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 1


def test_another_store_is_given_nothing(tmp_path: Path) -> None:
    left_behind(tmp_path, event("a", 0))
    assert Spool(tmp_path, "study", store="s3://other/prefix").deliver(EventLog(MemoryStore(), "study")) == 0


def test_the_file_is_empty_whenever_nothing_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "study", store=STORE)
    spool.close()
    assert list(tmp_path.iterdir()) == [], "a study that is complete leaves nothing"
    for n in range(2):
        spool.add(event("a", n))
    spool.delivered()
    assert spool.waiting == 1
    assert spool.path.stat().st_size > 0
    spool.delivered()
    assert spool.path.stat().st_size == 0
    spool.add(event("a", 2))
    spool.secure()
    assert spool.path.read_bytes().count(b"\n") == 1
    spool.delivered()
    spool.close()
    assert not spool.path.exists()


class Full:
    """A file on a disk that takes half of the next line and then nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._room = file, True

    def write(self, line: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room = False
        return self._file.write(line[: len(line) // 2])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def full_disk(spool: Spool) -> Iterator[None]:
    """Let the disk of `spool` be full for a while."""
    whole = spool._file
    spool._file = Full(whole)  # type: ignore[arg-type,assignment]
    yield
    spool._file = whole


def test_a_full_disk_ends_nothing_and_leaves_whole_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, "study", store=STORE)
    spool.add(event("a", 0))
    assert spool._file is not None
    spool._file = Full(spool._file)  # type: ignore[assignment]
    spool.add(event("a", 1))
    spool.add(event("a", 2))
    assert spool.waiting == 3
    assert caplog.text.count("cannot be written") == 1
    log = EventLog(MemoryStore(), "study")
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 1
    assert [value["sequence"] for value in log.read()] == [0]


def test_no_event_overtakes_one_that_a_full_disk_refused(tmp_path: Path) -> None:
    """A later driver would deliver the second event without the first one: a gap that nothing can fill."""
    spool = Spool(tmp_path, "study", store=STORE)
    spool.add(event("a", 0))
    with full_disk(spool):
        spool.add(event("a", 1))
    spool.add(event("a", 2))
    log = EventLog(MemoryStore(), "study")
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 3
    assert [value["sequence"] for value in log.read()] == [0, 1, 2]


def test_what_the_store_has_is_not_written_when_the_disk_has_room_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "study", store=STORE)
    spool.add(event("a", 0))
    with full_disk(spool):
        spool.add(event("a", 1))
        spool.delivered()
        spool.delivered()
    spool.add(event("a", 2))
    assert spool.path.read_bytes().count(b"\n") == 1


def test_an_event_without_the_one_before_it_is_not_delivered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left_behind(tmp_path, event("a", 0), event("a", 2), event("a", 3), event("b", 0))
    log = EventLog(MemoryStore(), "study")
    assert Spool(tmp_path, "study", store=STORE).deliver(log) == 2
    assert [(value["trial"], value["sequence"]) for value in log.read()] == [("a", 0), ("b", 0)]
    assert caplog.text.count("an event before 2 of a is missing") == 1


def test_lines_after_a_damaged_one_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = left_behind(tmp_path, event("a", 0), event("a", 1), event("b", 0))
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:9] + b"\n" + third)
    assert Spool(tmp_path, "study", store=STORE).deliver(EventLog(MemoryStore(), "study")) == 1
    assert "line 2 is damaged" in caplog.text


def test_the_same_study_in_another_store_has_files_of_its_own() -> None:
    """A driver removes the scratch folder of its study at its start and end, while one on another store may run."""
    names = {local_name("study", STORE), local_name("study", f"{STORE}/other"), local_name("other", STORE)}
    assert len(names) == 3
