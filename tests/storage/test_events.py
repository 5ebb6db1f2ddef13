import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage import layout
from storage.base import Store
from storage.errors import ExistsError, IntegrityError, NotFoundError
from storage.events import EventLog
from storage.local import LocalStore
from storage.studies import load_definition, save_study


def test_reads_back_in_order(store: Store) -> None:
    log = EventLog(store, "cmg-1")
    assert list(log.read()) == []
    assert log.trials() == ()
    names = [(f"t{trial:04d}", number) for trial in range(3) for number in range(12)]
    written = [{"trial": trial, "sequence": number} for trial, number in names]
    for (trial, number), event in reversed(list(zip(names, written, strict=True))):
        log.append(trial, number, event)
    EventLog(store, "cmg-10").append("t0000", 0, {"other": "study"})
    save_study(store, "cmg-1", {})
    assert list(log.read()) == written
    assert log.trials() == ("t0000", "t0001", "t0002")


def test_the_ends_of_each_trial_are_read_alone(store: Store) -> None:
    log = EventLog(store, "cmg-1")
    assert list(log.ends()) == []
    for trial, count in (("t0000", 1), ("t0001", 2), ("t0002", 12)):
        for number in range(count):
            log.append(trial, number, {"trial": trial, "sequence": number})
    found = [(event["trial"], event["sequence"]) for event in log.ends()]
    assert found == [("t0000", 0), ("t0001", 0), ("t0001", 1), ("t0002", 0), ("t0002", 11)]


def test_a_damaged_last_event_is_left_out_and_a_damaged_first_one_is_told(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(store, "s")
    for number in range(3):
        log.append("t", number, {"number": number})
    store.put(layout.event("s", "t", 2), b"cut", replace=True)
    assert list(log.ends()) == [{"number": 0}]
    assert "is left out" in caplog.text
    log.append("whole", 0, {"number": 0})
    log.append("whole", 1, {"number": 1})
    store.put(layout.event("s", "whole", 0), b"cut", replace=True)
    with pytest.raises(IntegrityError):
        list(log.ends())


def test_values_survive(store: Store) -> None:
    value = {"text": "ä\n\u2028", "nested": {"none": None, "float": 0.1 + 0.2, "big": 2**63}, "keys": {"10": 1, "9": 2}}
    EventLog(store, "s").append("t", 0, value)
    assert list(EventLog(store, "s").read()) == [value]


def test_an_event_is_written_once(store: Store) -> None:
    log = EventLog(store, "s")
    log.append("t", 0, {"first": True})
    with pytest.raises(ExistsError, match="t/000000"):
        log.append("t", 0, {"first": False})
    assert list(log.read()) == [{"first": True}]


@pytest.mark.parametrize("sequence", [-1, 1_000_000])
def test_sequences_out_of_range(store: Store, sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        EventLog(store, "s").append("t", sequence, {})


def test_nan_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        EventLog(store, "s").append("t", 0, {"loss": float("nan")})
    assert list(store.list("")) == []


@pytest.mark.parametrize("name", ["../other", "a/b", ""])
def test_names_cannot_leave_the_study(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="name in the store"):
        EventLog(store, name)
    with pytest.raises(ValueError, match="name in the store"):
        EventLog(store, "s").append(name, 0, {})


def test_a_damaged_end_is_left_out_and_written_anew(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(store, "s")
    for number in range(4):
        log.append("a", number, {"number": number})
        log.append("b", number, {"number": number})
    for number in (2, 3):
        store.put(layout.event("s", "a", number), b"", replace=True)
    with caplog.at_level(logging.WARNING):
        assert [event["number"] for event in log.read()] == [0, 1, 0, 1, 2, 3]
    assert layout.event("s", "a", 2) in caplog.text
    log.append("a", 2, {"number": 22})
    assert [event["number"] for event in log.read()] == [0, 1, 22, 0, 1, 2, 3]


def test_damage_in_the_middle_is_an_error(store: Store) -> None:
    log = EventLog(store, "s")
    for number in range(3):
        log.append("a", number, {"number": number})
    key = layout.event("s", "a", 1)
    store.put(key, store.get(key).replace(b'"number":1', b'"number":7'), replace=True)
    with pytest.raises(IntegrityError, match=key):
        list(log.read())


def test_concurrent_writers_do_not_overwrite(store: Store) -> None:
    log, barrier = EventLog(store, "s"), threading.Barrier(4)

    def write(writer: int) -> int:
        barrier.wait()
        won = 0
        for number in range(10):
            try:
                log.append("t", number, {"writer": writer})
                won += 1
            except ExistsError:
                pass
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 10
    assert len(list(log.read())) == 10


def test_ten_thousand_events_are_read_quickly(local: LocalStore, tmp_path: Path) -> None:
    log = EventLog(local, "s")
    for trial in range(100):
        log.append(f"t{trial:03d}", 0, {"number": 0, "metrics": {"loss": 0.5}})
        first = tmp_path / "store" / layout.event("s", f"t{trial:03d}", 0)
        for number in range(1, 100):
            os.link(first, first.with_name(f"{number:06d}.json"))
    start = time.process_time()
    assert sum(1 for _ in log.read()) == 10_000
    assert time.process_time() - start < 5  # 0.7 s on the 2-core machine this was written on


def test_studies(store: Store) -> None:
    definition = {"definition": {"space": {"lr": [0.1, 1e-5]}}, "trials": 12}
    with pytest.raises(NotFoundError, match="cmg-1"):
        load_definition(store, "cmg-1")
    save_study(store, "cmg-1", definition)
    save_study(store, "cmg-1", dict(reversed(definition.items())))
    assert load_definition(store, "cmg-1") == definition
    with pytest.raises(ExistsError, match="another study named cmg-1"):
        save_study(store, "cmg-1", {**definition, "trials": 13})
    store.put(layout.study("cmg-1"), b"{", replace=True)
    with pytest.raises(IntegrityError, match="studies/cmg-1"):
        load_definition(store, "cmg-1")
