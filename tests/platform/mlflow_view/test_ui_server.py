"""Waiting for an MLflow server: what speaks no HTTP yet is asked again, and one that did not start is not kept."""

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platform.mlflow_view.ui_server import HOST, wait_until_ready
from tests.servers import mlflow
from tests.servers.mlflow import MlflowServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def answering(*replies: bytes) -> Iterator[int]:
    """Give each connection the next of the replies, whatever it asks; yield the port."""
    left = list(replies)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(left.pop(0))

    with socketserver.TCPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
    assert left == [], "it was not asked again"


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("reply", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"])
def test_a_reply_that_is_no_http_is_not_the_servers(reply: bytes, running: subprocess.Popen[bytes]) -> None:
    with answering(reply, OK) as port:
        assert wait_until_ready(port, running)


def test_a_server_that_did_not_start_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [["false"], ["sleep", "60"]]
    monkeypatch.setattr(
        mlflow, "start_server", lambda *_, **__: subprocess.Popen(commands.pop(0), start_new_session=True)
    )
    monkeypatch.setattr(mlflow, "wait_until_ready", lambda _, process, *, limit: process.args == ["sleep", "60"])
    server = MlflowServer("sqlite://", artifacts="", messages=tmp_path / "messages.txt", environment={})
    with pytest.raises(RuntimeError, match="MLflow did not start"):
        server.start()
    server.start()
    server.start()
    assert commands == []
    server.stop()
