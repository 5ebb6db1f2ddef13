"""`python -m platform.ui`, as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from platform import ui
from platform.mlflow_view.tracking import Tracking
from platform.mlflow_view.ui_command import ui_command
from platform.tracking_uri import default_tracking
from tests.platform.made_up_study import made_up_study, trial_events
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(tmp_path: Path, no_figures: None) -> Path:
    tracking = Tracking(made_up_study(trials=1), home=tmp_path, uri=default_tracking(tmp_path), store="file:///s")
    for event in trial_events(0):
        tracking.see(event)
    tracking.close()
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [sys.executable, "-m", "platform.ui", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process, port
    if process.poll() is None:
        process.terminate()
    process.wait(20)


def answer(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_server_lists_the_study_and_ends_on_ctrl_c(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"MLflow UI: http://127.0.0.1:{port}/#/experiments/"), (
        "the study's page"
    )
    assert process.stdout.readline().startswith(f"  cmg-1a2b3c4d: http://127.0.0.1:{port}/#/experiments/")
    assert answer(port, "/health") == b"OK"
    serving = psutil.Process(process.pid).children(recursive=True)
    listening = [c.laddr.ip for one in serving for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}, "nobody else can reach it"
    experiments = json.loads(answer(port, "/api/2.0/mlflow/experiments/search", {"max_results": 10}))["experiments"]
    found = next(one for one in experiments if one["name"] == "mindsweep/cmg")
    query = {"experiment_ids": [found["experiment_id"]], "filter": "tags.`mindsweep.kind` = 'study'"}
    (run,) = json.loads(answer(port, "/api/2.0/mlflow/runs/search", query))["runs"]
    assert run["info"]["run_name"] == "cmg-1a2b3c4d"
    page = answer(port, f"/get-artifact?path=summary.md&run_uuid={run['info']['run_id']}")
    assert b"t0000" in page, "artifacts of a local study are served"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()


def test_no_study_yet_is_told_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    command = [sys.executable, "-m", "platform.ui", "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no study was tracked in" in done.stderr
    assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ui.main(["--home", str(tmp_path), "--port", str(port)]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().err


def test_a_remote_server_is_only_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.main(["--tracking", "https://me:secret@mlflow.example.org"]) == 0
    out = capsys.readouterr().out
    assert "https://...@mlflow.example.org" in out
    assert "secret" not in out


class Process:
    """Stands in for the server."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.interrupted = interrupted

    def wait(self) -> int:
        if self.interrupted:
            raise KeyboardInterrupt
        return 0


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_page_of_the_study_is_opened_where_somebody_sits(
    interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    ended: list[bool] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for sits_there, url in ((True, "http://here"), (True, None), (False, "http://here")):
        monkeypatch.setattr(ui, "has_browser", lambda sits_there=sits_there: sits_there)
        stack = ExitStack()
        stack.callback(ended.append, True)
        assert ui.Serving(Process(interrupted=interrupted), stack, url)() == 0  # type: ignore[arg-type]
    assert opened == ["http://here"]
    assert len(ended) == 3, "the server is ended each time"


@pytest.mark.parametrize(
    ("terminal", "screen", "expected"),
    [(True, "DISPLAY", True), (True, "WAYLAND_DISPLAY", True), (True, "", False), (False, "DISPLAY", False)],
)
def test_a_browser_needs_a_terminal_and_a_screen(
    terminal: bool, screen: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv(screen, ":0")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert ui.has_browser() is expected


def test_the_command_names_the_home_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    usual = Path(os.environ.get("MINDSWEEP_HOME", "runs")).absolute()
    assert ui_command(usual, default_tracking(usual)) == "make ui"
    assert ui_command(tmp_path, default_tracking(tmp_path)) == f"python -m platform.ui --home {tmp_path}"
    assert ui_command(tmp_path, "http://u:p@host") == "http://...@host"
