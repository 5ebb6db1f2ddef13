"""The S3 server killed, stopped, busy and slow: what was acknowledged stays, nothing is half, no wait is for ever."""

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from storage import s3, s3_parts
from storage.errors import UnavailableError
from storage.retry import RetryPolicy
from storage.s3 import S3Store
from tests.background import in_background
from tests.programs import ROOT, program
from tests.servers.ceph import Ceph
from tests.storage.test_s3 import Client

Aws = Callable[[str], AbstractContextManager[None]]
Open = Callable[[float], S3Store]
PART = 5 << 20


@pytest.fixture
def open_ceph(ceph: Ceph, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens an empty store that bridges outages of so many seconds; parts are small, answers awaited for a second."""
    for module in (s3, s3_parts):
        monkeypatch.setattr(module, "PART", PART)
    monkeypatch.setattr(s3, "_CONFIG", s3._CONFIG.merge(Config(read_timeout=1, connect_timeout=1)))
    prefix = f"outages/{uuid.uuid4().hex}"

    def opened(patience: float) -> S3Store:
        with aws(ceph.endpoint):
            return S3Store("mindsweep", prefix, retry=RetryPolicy(patience, longest_wait=0.5))

    return opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(os.urandom(3 * PART + 1))
    return tmp_path / "source"


@contextmanager
def later(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do `action` in the background after `seconds`; it has been done when the block is left."""
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextmanager
def restarted(ceph: Ceph, seconds: float) -> Iterator[None]:
    """Start the gateway again, so many seconds after the block has killed it."""

    def wait(over: threading.Event) -> None:
        while ceph.is_running:
            if over.wait(0.02):
                return
        time.sleep(seconds)
        ceph.start()

    with in_background(wait):
        yield


def killing(store: S3Store, ceph: Ceph, method: str, *, at: int) -> Client:
    """Return a client that kills the gateway when `at` calls of `method` have been answered."""
    real, calls = store._bucket.client, []

    def call(**where: Any) -> Any:
        answer = getattr(real, method)(**where)
        calls.append(where)
        if len(calls) == at:
            ceph.kill()
        return answer

    return Client(real, **{method: call})


def test_the_gateway_is_killed_in_a_loop_of_uploads(ceph: Ceph, open_ceph: Open) -> None:
    store = open_ceph(30.0)
    done = threading.Semaphore(0)

    def write(number: int) -> None:
        store.put(f"n/{number:03d}", bytes([number]) * 50_000)
        done.release()

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(60)]
        for _ in range(15):
            done.acquire()
        ceph.kill()
        time.sleep(0.5)
        ceph.start()
        for future in writing:
            future.result()
    assert [entry.size for entry in store.entries("n/")] == [50_000] * 60
    for number in range(60):
        assert store.get(f"n/{number:03d}") == bytes([number]) * 50_000


def test_the_gateway_is_killed_in_the_middle_of_an_upload(ceph: Ceph, open_ceph: Open, source: Path) -> None:
    store = open_ceph(30.0)
    store._bucket.client = killing(store, ceph, "upload_part", at=1)
    with restarted(ceph, 1.0):
        store.put("big", source)
    assert store.fetch("big", source.with_name("target")).read_bytes() == source.read_bytes()


def test_an_upload_that_an_outage_ended_goes_on_later(ceph: Ceph, open_ceph: Open, source: Path) -> None:
    store = open_ceph(0.5)
    store._bucket.client = killing(store, ceph, "upload_part", at=1)
    with pytest.raises(UnavailableError, match=r"cannot write big in s3://mindsweep/outages/"):
        store.put("big", source)
    ceph.start()
    assert not store.exists("big")
    (leftover,) = store.leftovers()
    assert leftover.size > 0
    store.put("big", source)
    assert store.get("big") == source.read_bytes()
    assert list(store.leftovers()) == []


def test_the_gateway_is_killed_in_the_middle_of_a_download(ceph: Ceph, open_ceph: Open, source: Path) -> None:
    store = open_ceph(30.0)
    store.put("big", source)
    store._bucket.client = killing(store, ceph, "get_object", at=2)
    with restarted(ceph, 1.0):
        assert store.fetch("big", source.with_name("target")).read_bytes() == source.read_bytes()


def test_a_stopped_gateway_is_waited_for_and_no_longer_than_said(ceph: Ceph, open_ceph: Open) -> None:
    """A stopped process takes connections and answers nothing; what it was asked, it may still do later."""
    patient, impatient = open_ceph(30.0), open_ceph(0.5)
    patient.put("before", b"1")
    ceph.signal(signal.SIGSTOP)
    with later(5.0, lambda: ceph.signal(signal.SIGCONT)):
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=r"cannot read before in s3://mindsweep/outages/.*timeout"):
            impatient.get("before")
        assert time.monotonic() - started < 4
        patient.put("during", b"2")
    assert time.monotonic() - started > 4
    assert patient.get("before") + patient.get("during") == b"12"


def test_the_writer_is_killed_in_the_middle_of_an_upload(ceph: Ceph, open_ceph: Open, source: Path) -> None:
    """The writer rests after its first part, so that the kill cannot come too late however slowly this test is run."""
    store = open_ceph(5.0)
    prefix = store.uri.removeprefix("s3://mindsweep/")
    command = program("first_part", prefix, source)
    environment = {**os.environ, **ceph.environment}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "answered\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert not store.exists("big")
    (leftover,) = store.leftovers()
    assert leftover.size == PART
    store.put("big", source)
    assert store.get("big") == source.read_bytes()
    assert list(store.leftovers()) == []


class Busy(ThreadingHTTPServer):
    """Holds objects, and answers 503 to the first requests, or waits before each."""

    def __init__(self, *, refusals: int, wait: float) -> None:
        super().__init__(("127.0.0.1", 0), _Busy)
        self.refusals, self.wait, self.asked = refusals, wait, 0
        self.objects: dict[str, bytes] = {}


class _Busy(BaseHTTPRequestHandler):
    server: Busy
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_ready():
            self.server.objects[self.path] = body
            self._answer(200, b"")

    def do_GET(self) -> None:
        if self._is_ready():
            self._answer(200, self.server.objects[self.path])

    def _is_ready(self) -> bool:
        self.server.asked += 1
        time.sleep(self.server.wait)
        if self.server.asked > self.server.refusals:
            return True
        self._answer(503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def busy(aws: Aws, *, refusals: int = 0, wait: float = 0.0) -> Iterator[tuple[Busy, S3Store]]:
    server = Busy(refusals=refusals, wait=wait)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with aws(f"http://127.0.0.1:{server.server_port}"):
        store = S3Store("bucket", retry=RetryPolicy(patience=1.0, first_wait=0.05, longest_wait=0.1))
    try:
        yield server, store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_busy_server_is_asked_again(aws: Aws) -> None:
    with busy(aws, refusals=5) as (server, store):
        store.put("a", b"data")
        assert server.asked == 6
        assert store.get("a") == b"data"


def test_a_server_that_stays_busy_is_named(aws: Aws) -> None:
    with busy(aws, refusals=10_000) as (server, store):
        with pytest.raises(UnavailableError, match=r"cannot write a/b in s3://bucket: .*\(SlowDown\).*reduce your"):
            store.put("a/b", b"data")
        assert 5 < server.asked < 40


def test_a_slow_server_is_waited_for(aws: Aws) -> None:
    with busy(aws, wait=0.5) as (server, store):
        store.put("a", b"data")
        assert store.get("a") == b"data"
        assert server.asked == 2
