"""Starts an MLflow server in its own process group, waits until it responds, and stops it."""

import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import IO

HOST = "127.0.0.1"
_START_LIMIT = 180.0
"""Seconds that the server may take until it responds."""
_STOP_LIMIT = 10.0


def start_server(
    uri: str, *, artifacts: str, port: int, messages: int | IO[bytes], workers: int = 1
) -> subprocess.Popen[bytes]:
    """Start `mlflow server` on loopback and return at once.

    Args:
        uri: URI of the database.
        artifacts: Folder or URI where the server stores the artifacts that clients send.
        port: Port of the server.
        messages: File or descriptor for its output.
        workers: Number of server processes; each uses at most one core.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", str(workers)]
    command += ["--artifacts-destination", artifacts, "--uvicorn-opts", "--log-level warning"]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not on the command line: all users of the machine can read it
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven processes that are not needed
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "50",  # with fewer, asynchronous clients block each other
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "100",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",
        "PYTHONSAFEPATH": "1",  # the server needs the `platform` of the standard library
    }
    return subprocess.Popen(command, env=environment, stdout=messages, stderr=messages, start_new_session=True)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], *, limit: float = _START_LIMIT) -> bool:
    """Wait until the server responds on `port`; return False if it has ended or takes `limit` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return True
        except (OSError, http.client.HTTPException):  # URLError is an OSError
            time.sleep(0.2)
    return False


def end_server(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and its child processes; kill them if they take too long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_LIMIT)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
