"""Events that wait on this machine for the store."""

from pathlib import Path

import pytest

from platform.events import TrialEvent
from platform.record.spool import Spool
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
