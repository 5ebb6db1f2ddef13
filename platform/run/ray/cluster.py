"""The Ray cluster that a study runs on: connected to, or started on this machine."""

import logging
import os
import shlex
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray

from platform.errors import StudyError, UserError
from platform.run.ray.code_upload import runtime_environment
from storage.environment import variable, without_secrets
from storage.owned_folders import kill_processes, make_folder, remove_folder
from trainables.ray_internals.core import end_cluster, show_as_command, start_cluster
from trainables.usable_cores import usable_cores

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
"""No telemetry and no result files: the store has all of it, and Tune's files cost a second per trial.

RAY_TRAIN_HEALTH_CHECK_INTERVAL_S is short because Ray Train looks for reports as often as for dead workers.
TUNE_MAX_PENDING_TRIALS_PG is large because the dispatcher limits the trials itself; Tune would start one worker after
another.
"""

_log = logging.getLogger(__name__)
_OPEN_CLUSTER = (
    "the Ray cluster at %s asks for no token: everybody who reaches its ports can run code there as its user; start it "
    "with RAY_AUTH_MODE=token (deploy/README.md)"
)
_REACHED = 10.0
"""Seconds within which the head of a cluster must take a connection."""
_LONGEST_ROOT = 16
_SHORT_ROOT = Path("/tmp")


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start one on this machine's cores; disconnect or end it afterwards.

    If this process is already connected to a cluster, that cluster is used and stays as it is.
    """
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    _hide_secrets()
    if ray.is_initialized():
        yield
        return
    folder = _make_folder() if address is None else None
    try:
        _connect(address, None if folder is None else str(folder))
        yield
    finally:
        end_cluster()
        if folder is not None:
            _remove_folder(folder)


def _make_folder() -> Path:
    return make_folder("mindsweep-ray-", inside=_root_of_sockets(), remove=_remove_folder)


def _remove_folder(folder: Path) -> None:
    """Remove the folder of a cluster that has ended. A worker that was still starting then would make it again."""
    kill_processes(folder)
    remove_folder(folder)


def _root_of_sockets() -> Path:
    """Return a temporary folder with a short path: that of a socket has at most 107 characters, and Ray adds about 90.

    Raises:
        UserError: There is none.
    """
    usual = Path(tempfile.gettempdir())
    if len(str(usual)) <= _LONGEST_ROOT:
        return usual
    if os.access(_SHORT_ROOT, os.W_OK | os.X_OK):
        return _SHORT_ROOT
    raise UserError(
        f"TMPDIR is {usual}, which is too long for Ray's sockets, and {_SHORT_ROOT} cannot be written; set TMPDIR to a "
        f"folder of at most {_LONGEST_ROOT} characters"
    )


def _connect(address: str | None, folder: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if folder is not None:
            start_cluster(folder, num_cpus=usable_cores(), include_dashboard=False, **quiet)
        else:
            assert address is not None
            _reach(address)
            ray.init(address=address, runtime_env=runtime_environment(SETTINGS), **quiet)
    except Exception as error:  # Ray raises a bare Exception if a busy machine delays its start
        cluster_text = "on this machine" if address is None else f"at {address}"
        raise StudyError(
            f"no Ray cluster {cluster_text}: {error} Nothing was run; the same command tries again.{_own_variables()}"
        ) from error
    if address is not None and variable("RAY_AUTH_MODE") != "token":  # Ray sets it where it finds a token
        _log.warning(_OPEN_CLUSTER, address)


def _reach(address: str) -> None:
    """Raise `ConnectionError` if nothing listens at HOST:PORT: Ray would try for minutes, and not hear Ctrl-C."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in host:  # a name that only Ray knows, such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"nothing answers there ({error}).") from error


def _own_variables() -> str:
    """Return the names of the variables that the user's environment sets for Ray."""
    own = {*SETTINGS, "RAY_CLIENT_MODE"}  # Ray sets the last one itself
    names = sorted(name for name in os.environ if name.startswith("RAY_") and name not in own)
    return f" Your environment sets {', '.join(names)}." if names else ""


def _hide_secrets() -> None:
    """Keep credentials out of Ray's logs and job table, which every user of a cluster can read.

    Workers read them from their node: its environment, profile or role.
    """
    show_as_command(without_secrets(shlex.join(psutil.Process().cmdline())))
