"""Leases: a dead holder is replaced, a live one is respected, and never are there two."""

import json
import logging
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from storage import layout, lease
from storage.base import Store
from storage.errors import LeaseHeldError, UnavailableError
from storage.lease import Lease
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.uri import open_store
from tests.clocks import SetClock
from tests.programs import ROOT, program


@pytest.fixture
def elsewhere_on_s3(
    s3_endpoint: str, aws: Callable[[str], AbstractContextManager[None]]
) -> Iterator[tuple[Store, subprocess.Popen[str]]]:
    """An S3 store, and a process that holds the lease `study` there, on another machine by all that is stored."""
    with aws(s3_endpoint):
        store = open_store(f"s3://mindsweep/tests/lease-{uuid.uuid4().hex}")
        command = program("lease_elsewhere", store.uri, 1.5)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "held\n"
                yield store, process
            finally:
                process.kill()


@pytest.fixture
def holder(local: LocalStore) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds the lease `study` (with a password in its command)."""
    started: list[subprocess.Popen[str]] = []

    def start(*, ttl: float = 30.0) -> subprocess.Popen[str]:
        command = program("lease_holder", local.uri, ttl, "--tracking=http://me:planted-secret@server")
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def records(store: Store) -> list[dict[str, Any]]:
    return [json.loads(store.get(key)) for key in store.list(layout.leases("study"))]


def rewrite(store: Store, **changes: Any) -> None:
    """Change the record of the present holder."""
    key = list(store.list(layout.leases("study")))[-1]
    store.put(key, json.dumps({**json.loads(store.get(key)), **changes}).encode(), replace=True)


def test_one_after_another(store: Store) -> None:
    for _ in range(3):
        with Lease(store, "study") as held:
            assert not held.lost
            with pytest.raises(LeaseHeldError):
                Lease(store, "study").acquire()
            with Lease(store, "another study"[:7]):
                pass
    assert len(records(store)) == 1


def test_released_after_an_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Lease(store, "study"):
        _ = 1 / 0
    with Lease(store, "study"):
        pass


def test_a_store_that_was_away_is_told_of_the_release_when_it_is_back(tmp_path: Path) -> None:
    store, away, is_back = LocalStore(tmp_path / "store"), tmp_path / "away", threading.Event()

    def come_back() -> None:
        (tmp_path / "store").unlink()
        away.rename(tmp_path / "store")
        is_back.set()

    held = Lease(store, "study", clock=SetClock(come_back))
    held.acquire()
    (tmp_path / "store").rename(away)
    (tmp_path / "store").write_text("no folder")
    held.release()
    assert is_back.wait(20), "the release was not tried again"  # a store that is away looks empty, thus without holder
    deadline = time.monotonic() + 20
    while lease.holder(store, "study") is not None:
        assert time.monotonic() < deadline, "the lease counts as held for as long as this process lives"
        time.sleep(0.01)
    with Lease(store, "study"):
        pass


@pytest.mark.parametrize("when", ["before it answers", "before it is asked again"])
def test_a_store_that_went_away_while_it_wrote_is_told_of_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The record is written, but whoever wanted the lease learns that the store is gone, and does not get it."""
    store, away, is_back = LocalStore(tmp_path / "store"), tmp_path / "away", threading.Event()
    with Lease(store, "study"):
        pass

    def put_and_vanish(key: str, data: bytes) -> None:
        LocalStore.put(store, key, data)
        monkeypatch.undo()
        (tmp_path / "store").rename(away)
        (tmp_path / "store").write_text("no folder")
        if when == "before it answers":
            raise UnavailableError("no network")

    def come_back() -> None:
        (tmp_path / "store").unlink()
        away.rename(tmp_path / "store")
        is_back.set()

    monkeypatch.setattr(store, "put", put_and_vanish)
    with pytest.raises(UnavailableError):
        Lease(store, "study", clock=SetClock(come_back)).acquire()
    assert is_back.wait(20)
    deadline = time.monotonic() + 20
    while lease.holder(store, "study") is not None:
        assert time.monotonic() < deadline, "the lease counts as held for as long as this process lives"
        time.sleep(0.01)
    with Lease(store, "study"):
        pass


def test_what_could_not_be_acquired_is_not_taken_from_another(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was away when one process wrote; another one has the lease when it is back."""
    with Lease(store, "study"):
        pass
    is_held, is_withdrawn = threading.Event(), threading.Event()

    def unavailable(*_: object, **__: object) -> None:
        raise UnavailableError("no network")

    late = Lease(store, "study", clock=SetClock(lambda: is_held.wait(20)))
    withdraw = late._withdraw

    def withdraw_and_tell(*arguments: Any) -> None:
        withdraw(*arguments)
        is_withdrawn.set()

    monkeypatch.setattr(late, "_withdraw", withdraw_and_tell)
    with monkeypatch.context() as patch:
        patch.setattr(store, "put", unavailable)
        with pytest.raises(UnavailableError):
            late.acquire()
    with Lease(store, "study") as held:
        is_held.set()
        assert is_withdrawn.wait(20)
        assert lease.holder(store, "study") is not None
        assert not held._is_lost()


def test_acquiring_twice_is_refused(store: Store) -> None:
    held = Lease(store, "study")
    with held, pytest.raises(LeaseHeldError):
        held.acquire()
    held.release()


def test_a_live_holder_is_named(local: LocalStore, holder: Callable[..., subprocess.Popen[str]]) -> None:
    process = holder()
    start = time.monotonic()
    with pytest.raises(
        LeaseHeldError, match=rf"study in file://.* is held by process {process.pid} on .* since 20"
    ) as it:
        Lease(local, "study").acquire()
    assert time.monotonic() - start < 2
    assert "--tracking=http://***@server" in str(it.value)
    assert b"planted-secret" not in b"".join(local.get(key) for key in local.list(""))


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_holder_is_replaced_at_once(
    local: LocalStore, holder: Callable[..., subprocess.Popen[str]], reaped: bool
) -> None:
    process = holder(ttl=30.0)
    process.send_signal(signal.SIGKILL)
    if reaped:
        process.wait()
    else:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    start = time.monotonic()
    with Lease(local, "study") as held:
        assert time.monotonic() - start < 2
        assert not held.lost


def test_a_stopped_holder_of_this_machine_still_holds(
    local: LocalStore, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    process = holder(ttl=0.3)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    with pytest.raises(LeaseHeldError):
        Lease(local, "study", ttl=0.3).acquire()


def elsewhere(store: Store, ttl: float) -> Lease:
    """Return a holder that looks like one of another machine."""
    held = Lease(store, "study", ttl=ttl)
    held.acquire()
    held._record.update(machine="other/boot/space", host="other")
    rewrite(store, machine="other/boot/space", host="other")
    return held


def beaten(store: Store, seconds: float = 30.0) -> None:
    """Wait for the holder's next heartbeat."""
    before, deadline = records(store), time.monotonic() + seconds
    while records(store) == before:
        assert time.monotonic() < deadline, "no heartbeat came"
        time.sleep(0.01)


def test_a_process_on_another_machine_is_judged_by_its_heartbeat(
    elsewhere_on_s3: tuple[Store, subprocess.Popen[str]], caplog: pytest.LogCaptureFixture
) -> None:
    store, process = elsewhere_on_s3
    with pytest.raises(LeaseHeldError, match=f"process {process.pid} on "):
        Lease(store, "study", ttl=60.0).acquire()
    assert "waiting for its next heartbeat" in caplog.text
    process.kill()
    process.wait()
    clock = SetClock()
    with Lease(store, "study", ttl=0.3, clock=clock) as held:
        assert clock.time >= 1.5, "the holder's time to live, since its process cannot be seen"
        assert not held.lost


def test_a_process_on_another_machine_that_stood_still_notices_that_it_lost(
    elsewhere_on_s3: tuple[Store, subprocess.Popen[str]],
) -> None:
    store, process = elsewhere_on_s3
    process.send_signal(signal.SIGSTOP)
    with Lease(store, "study", ttl=0.3, clock=SetClock()) as held:
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.readline() == "lost\n"
        assert not held.lost
    assert [record["machine"] for record in records(store)] == [lease._machine()]


def test_whether_a_holder_lives_can_be_asked_without_waiting(store: Store) -> None:
    held, clock = elsewhere(store, ttl=0.6), SetClock()
    asking = Lease(store, "study", ttl=0.6, clock=clock)
    assert not asking.attempt(), "nothing is known yet"
    held._stop.set()
    assert held._thread is not None
    held._thread.join()
    rewrite(store, beat=77)
    with pytest.raises(LeaseHeldError):
        asking.attempt()
    clock.time = 0.59
    assert not asking.attempt()
    clock.time = 0.61
    assert asking.attempt()
    asking.release()


def test_another_machine_that_beats_is_respected(store: Store) -> None:
    held = elsewhere(store, ttl=0.3)
    try:
        with pytest.raises(LeaseHeldError, match="on other since"):
            Lease(store, "study", ttl=5.0, clock=SetClock(lambda: beaten(store))).acquire()
        assert not held.lost
    finally:
        held.release()


def test_another_machine_that_is_silent_is_replaced_after_the_time_to_live(store: Store) -> None:
    silent, clock = elsewhere(store, ttl=1.2), SetClock()
    silent._stop.set()
    with Lease(store, "study", ttl=0.3, clock=clock) as held:
        assert clock.time >= 1.2
        silent.release()
        assert silent.lost
        assert not held.lost
        with pytest.raises(LeaseHeldError):
            Lease(store, "study").acquire()


def test_another_machine_that_releases_lets_us_in_before_the_time_to_live(store: Store) -> None:
    held = elsewhere(store, ttl=30.0)
    clock = SetClock(meanwhile=held.release)
    with Lease(store, "study", ttl=30.0, clock=clock):
        assert clock.time < 15


def test_a_process_id_in_use_again_is_not_trusted_either_way(store: Store) -> None:
    stale = Lease(store, "study", ttl=0.4)
    stale.acquire()
    stale._stop.set()
    rewrite(store, started=psutil.Process().create_time() - 1000)
    with Lease(store, "study", ttl=0.4, clock=SetClock()) as held:
        assert not held.lost


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"pid": 1}'])
def test_a_damaged_record_is_replaced_after_the_time_to_live(store: Store, data: bytes) -> None:
    store.put(layout.lease("study", 4), data)
    with Lease(store, "study", ttl=0.2, clock=SetClock()):
        pass
    assert list(store.list(layout.leases("study"))) == [layout.lease("study", 5)]


def test_losing_is_noticed_at_the_next_heartbeat(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Lease(store, "study", ttl=0.2) as held:
        store.put(layout.lease("study", held._generation + 1), b"{}")
        deadline = time.monotonic() + 10
        while not held.lost and time.monotonic() < deadline:
            time.sleep(0.02)
        assert held.lost
    assert "taken over" in caplog.text
    assert store.get(layout.lease("study", 1)) == b"{}"  # releasing a lost lease leaves the winner's record alone


def test_of_many_that_find_a_dead_holder_one_wins(store: Store) -> None:
    for _ in range(3):
        dead = Lease(store, "study")
        dead.acquire()
        dead._stop.set()
        rewrite(store, pid=2**22 + 1)  # above the largest process id
        barrier = threading.Barrier(6)

        def contend(_: int, barrier: threading.Barrier = barrier) -> Lease | None:
            lease = Lease(store, "study")
            barrier.wait()
            try:
                lease.acquire()
            except LeaseHeldError:
                return None
            return lease

        with ThreadPoolExecutor(6) as pool:
            winners = [winner for winner in pool.map(contend, range(6)) if winner is not None]
        assert len(winners) == 1
        winners[0].release()
        assert not winners[0].lost


def test_one_that_saw_an_old_state_does_not_win(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw generation 0 released, slept, and meanwhile generations 1 (released) and 2 (held) came."""
    with Lease(store, "study"):
        pass
    late = Lease(store, "study")
    old = late._latest()
    with Lease(store, "study"):
        pass
    with Lease(store, "study") as held:
        answers = [old]
        real = late._latest
        monkeypatch.setattr(late, "_latest", lambda: answers.pop() if answers else real())
        with pytest.raises(LeaseHeldError):
            late.acquire()
        assert not held._is_lost()
        assert len(records(store)) == 1


def test_an_outage_is_survived(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store, tried = MemoryStore(), threading.Semaphore(0)

    def unavailable(*_: object, **__: object) -> None:
        tried.release()
        raise UnavailableError("no network")

    with Lease(store, "study", ttl=0.15) as held:
        with monkeypatch.context() as patch:
            patch.setattr(store, "put", unavailable)
            assert all(tried.acquire(timeout=30) for _ in range(2)), "the heartbeats ended"
        assert "no network" in caplog.text
        before = held._record["beat"]
        beaten(store)
        assert json.loads(store.get(held._key()))["beat"] > before - 1
        assert not held.lost
        monkeypatch.setattr(store, "put", unavailable)
    assert "could not be released" in caplog.text


def test_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lease, "Path", lambda _: tmp_path / "missing")
    assert lease._machine().endswith("//")
