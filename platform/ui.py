"""`python -m platform.ui`: opens the studies of a home folder in the MLflow UI, at the newest study."""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from platform.cli import Answer, VerbParser, add_home, add_tracking, options_of, run_verb, verb_parser
from platform.errors import StudyError, UserError
from platform.mlflow_view.saved_view import CLIPS, EXPERIMENTS, TAG, view_link
from platform.mlflow_view.ui_server import HOST, end_server, start_server, wait_until_ready
from platform.process_end import run_command
from platform.tracking_uri import is_server, sqlite_path
from storage.environment import without_secrets

_DESCRIPTION = """\
Open the studies of a home folder in the MLflow UI, on this machine only; Ctrl-C ends it. In a terminal, the page of the
newest study is opened in a browser if there is one."""
_LISTED = 5
"""Largest number of studies whose links are printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("ui", _DESCRIPTION)
    parser.add_argument("--port", type=int, default=5000, metavar="N", help="port on 127.0.0.1 (default: 5000)")
    parser.add_argument("--no-browser", action="store_true", help="only print the links")
    add_home(parser)
    add_tracking(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    uri = options.tracking
    if is_server(uri):
        url = without_secrets(uri)
        return Answer({"url": url, "studies": []}, f"These studies are tracked by a server; open {url}")
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise UserError(f"no study was tracked in {path}: run one (make sweep), or set --home to another folder")
    _check_free(arguments.port)
    with ExitStack() as stack:
        process = stack.enter_context(_server(uri, home=options.home, port=arguments.port))
        if not wait_until_ready(arguments.port, process):
            raise StudyError(f"the MLflow server did not start on port {arguments.port} (see its messages above)")
        address = f"http://{HOST}:{arguments.port}"
        studies = [(study, f"{address}{path}") for study, path in _studies(address)]
        newest = studies[0][1] if studies else address
        serving = Serving(process, stack.pop_all(), None if arguments.no_browser else newest)
    lines = [f"MLflow UI: {newest} (Ctrl-C ends it)", *(f"  {study}: {url}" for study, url in studies[:_LISTED])]
    value = {"url": newest, "studies": [{"study": study, "url": url} for study, url in studies]}
    return Answer(value, "\n".join(lines), then=serving)


@dataclass(frozen=True)
class Serving:
    """A started MLflow server. A call waits until it ends, or until Ctrl-C."""

    process: subprocess.Popen[bytes]
    stack: ExitStack
    """Ends the server."""
    url: str | None
    """The page to open in a browser; None: no browser is opened."""

    def __call__(self) -> int:
        """Wait for the end of the server and return the exit code."""
        with self.stack:
            try:
                if self.url is not None and has_browser():
                    webbrowser.open(self.url)
                return self.process.wait()
            except KeyboardInterrupt:
                return 0


def has_browser() -> bool:
    """Return whether the output is a terminal on a machine with a graphical browser."""
    has_screen = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in _DISPLAYS)
    return sys.stdout.isatty() and has_screen


_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
"""Environment variables of a graphical session. Without one, `webbrowser` starts a browser in the terminal."""


def _studies(address: str) -> list[tuple[str, str]]:
    """Return the studies of the server at `address`, the latest first, each with the path of the page of its trials."""
    query = json.dumps({"max_results": 1000}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/experiments/search", query, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            experiments = json.load(response).get("experiments", [])
    except (OSError, ValueError, http.client.HTTPException):
        return []
    views = [
        (json.loads(tag["value"])["createdAt"], tag["key"].removeprefix(TAG), experiment["experiment_id"])
        for experiment in experiments
        for tag in experiment.get("tags", [])
        if experiment["name"].startswith(EXPERIMENTS) and tag["key"].startswith(TAG) and not tag["key"].endswith(CLIPS)
    ]
    return [(study, view_link(experiment, study)) for _, study, experiment in sorted(views, reverse=True)]


def _check_free(port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise UserError(f"port {port} cannot be used ({error}); use another one with --port") from None


@contextmanager
def _server(uri: str, *, home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the MLflow server, and end all its processes afterwards, also on SIGTERM."""
    # SIGINT too: a shell that starts this process in the background makes it ignore SIGINT.
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    stderr = 2
    process = start_server(uri, artifacts=str((home / "mlartifacts").resolve()), port=port, messages=stderr)
    try:
        yield process
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        end_server(process)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    run_command(main)
