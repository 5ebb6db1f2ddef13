"""Tracking URIs: kinds, and checks that they can be reached. Does not import mlflow."""

import os
import socket
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platform.errors import UserError
from storage.environment import without_secrets

_DATABASES = {"postgresql": 5432, "mysql": 3306}
_DRIVERS = {"postgresql": "psycopg2", "mysql": "MySQLdb"}
"""Default driver for a database URI without driver (`postgresql+psycopg://` names one)."""
_EXAMPLES = "sqlite:///FILE, http://HOST:PORT, https://HOST, postgresql://HOST/NAME, mysql://HOST/NAME"


def default_tracking(home: Path) -> str:
    """Return the URI of the database that a study uses by default."""
    return f"sqlite:///{home.resolve()}/mlflow.db"


def check_tracking(uri: str, *, timeout: float = 5.0) -> None:
    """Check within a few seconds that `uri` can be reached and, for a file, is writable.

    Raises:
        UserError: The scheme is unknown, or the server or database does not answer.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme == "sqlite":
        _check_file(uri)
    elif scheme in ("http", "https"):
        _check_server(uri, timeout)
    elif scheme in _DATABASES:
        _check_driver(uri)
        _check_database(uri, _DATABASES[scheme], timeout)
    else:
        raise UserError(
            f"--tracking: {without_secrets(uri)!r} is not a tracking URI; it must be like one of: {_EXAMPLES}"
        )


def is_server(uri: str) -> bool:
    """Return whether `uri` is that of an HTTP server, not of a database."""
    return uri.startswith(("http://", "https://"))


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite URI, or None for other URIs."""
    scheme, _, path = uri.partition(":///")
    return Path(path) if scheme == "sqlite" else None


def _check_file(uri: str) -> None:
    path = sqlite_path(uri)
    if path is None or path.name == "":
        raise UserError(f"--tracking: {uri!r} names no file; write sqlite:///relative.db or sqlite:////absolute.db")
    if "?" in str(path) or unquote(str(path)) != str(path):
        raise UserError(
            f"--tracking: MLflow cannot open {path}: in a database's address, ? begins options and %41 is a letter. "
            "Choose another --home or --tracking"
        )
    holder = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not holder.is_dir() or not os.access(path if path.exists() else holder, os.W_OK):
        raise UserError(f"--tracking: {path} cannot be written")


def _check_server(uri: str, timeout: float) -> None:
    parts = urlsplit(uri)
    netloc = parts.netloc.rpartition("@")[2]
    health = f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(health, timeout=timeout):
            return
    except urllib.error.HTTPError:
        return  # it answers; a proxy may require the credentials that the client sends
    except (OSError, ValueError) as error:
        raise UserError(f"--tracking: {without_secrets(uri)} does not answer: {error}") from None


def _check_driver(uri: str) -> None:
    scheme, _, named = urlsplit(uri).scheme.partition("+")
    driver = named if named != "" else _DRIVERS[scheme]
    if find_spec(driver) is None:
        advice = "install it, or use an MLflow server with this database (http://HOST:PORT)"
        raise UserError(
            f"--tracking: {without_secrets(uri)} needs the Python package {driver}, which is not installed; {advice}"
        )


def _check_database(uri: str, default_port: int, timeout: float) -> None:
    try:
        parts = urlsplit(uri)
        address = (parts.hostname if parts.hostname is not None else "localhost", parts.port or default_port)
        socket.create_connection(address, timeout=timeout).close()
    except (OSError, ValueError) as error:
        raise UserError(f"--tracking: {without_secrets(uri)} does not answer: {error}") from None
