"""`python -m platform.ui`: opens the studies of a home folder in the MLflow UI."""

import argparse
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from platform.cli import home_of
from platform.errors import UserError
from platform.mlflow_view.saved_view import EXPERIMENTS, TAG, view_link
from platform.mlflow_view.ui_server import HOST, answers, end_server, start_server
from platform.tracking_uri import default_tracking, is_server, sqlite_path, without_secrets

_LISTED = 5
"""Most studies that are named with their links."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m platform.ui", description=__doc__)
    home = Path(os.environ.get("MINDSWEEP_HOME", "runs"))
    parser.add_argument(
        "--home", type=Path, default=home, help="folder that studies were run in (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--tracking", help="URI that studies were tracked to, if not the home folder's database")
    options = parser.parse_args(arguments)
    try:
        home = home_of(options.home)
        uri = options.tracking if options.tracking is not None else default_tracking(home)
        return serve(uri, home=home, port=options.port, console=Console())
    except UserError as error:
        Console(stderr=True).print(str(error), markup=False, soft_wrap=True)
        return error.exit_code


def serve(uri: str, *, home: Path, port: int, console: Console) -> int:
    """Serve the database at `uri` on loopback until Ctrl-C or SIGTERM, or say where its server is.

    Raises:
        UserError: Nothing was tracked there, or the port is taken.
    """
    if is_server(uri):
        console.print(f"These studies are tracked by a server; open {without_secrets(uri)}", markup=False)
        return 0
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise UserError(f"no study was tracked in {path}: run one (make sweep), or name its folder with --home")
    _check_free(port)
    address = f"http://{HOST}:{port}"
    with _server(uri, home=home, port=port) as process:
        if not answers(port, process):
            raise UserError(f"the MLflow server did not start on port {port} (its messages stand above)")
        console.print(f"MLflow UI: {address} (Ctrl-C ends it)", markup=False)
        for study, link in _studies(address)[:_LISTED]:
            console.print(f"  {study}: {address}{link}", markup=False, soft_wrap=True)
        try:
            return process.wait()
        except KeyboardInterrupt:
            return 0


def _studies(address: str) -> list[tuple[str, str]]:
    """Return the studies that the server at `address` has, the latest first, with the path of each one's trials."""
    query = json.dumps({"max_results": 1000}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/experiments/search", query, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            experiments = json.load(response).get("experiments", [])
    except (OSError, ValueError):
        return []
    found = [
        (json.loads(tag["value"])["createdAt"], tag["key"].removeprefix(TAG), experiment["experiment_id"])
        for experiment in experiments
        for tag in experiment.get("tags", [])
        if experiment["name"].startswith(EXPERIMENTS) and tag["key"].startswith(TAG)
    ]
    return [(study, view_link(experiment, study)) for _, study, experiment in sorted(found, reverse=True)]


def _check_free(port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise UserError(f"port {port} cannot be used ({error}); name another with --port") from None


@contextmanager
def _server(uri: str, *, home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the MLflow server, and end all of it afterwards, also on SIGTERM."""
    # SIGINT too: a shell that starts us in the background has it ignored, and would leave no way to end us in order.
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
    raise SystemExit(main())
