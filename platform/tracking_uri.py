"""Which tracking URIs exist, whether one answers, and how to name one without its secrets. Does not import mlflow."""

import os
import re
import socket
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from platform.errors import UserError

_DATABASES = {"postgresql": 5432, "mysql": 3306}
_DRIVERS = {"postgresql": "psycopg2", "mysql": "MySQLdb"}
"""What speaks to a database whose URI does not say, as in `postgresql+psycopg://`."""
_KNOWN = "sqlite:///FILE, http://HOST:PORT, https://HOST, postgresql://HOST/NAME, mysql://HOST/NAME"
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")


def default_tracking(home: Path) -> str:
    """Return the URI of the database that a study uses unless told otherwise."""
    return f"sqlite:///{home.resolve()}/mlflow.db"


def without_secrets(text: str) -> str:
    """Return `text` with the user and password of every URI in it replaced by dots."""
    return _SECRET.sub("...@", text)


def check_tracking(uri: str, *, timeout: float = 5.0) -> None:
    """Return if `uri` can be written to, as far as a second or two can tell.

    Raises:
        UserError: The scheme is unknown, or nothing answers there.
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
        raise UserError(f"--tracking: no tracking URI starts like {without_secrets(uri)!r}; these do: {_KNOWN}")


def is_server(uri: str) -> bool:
    """Tell whether `uri` names a server that speaks HTTP, and not a database."""
    return uri.startswith(("http://", "https://"))


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite URI, or None for others."""
    scheme, _, path = uri.partition(":///")
    return Path(path) if scheme == "sqlite" else None


def _check_file(uri: str) -> None:
    path = sqlite_path(uri)
    if path is None or path.name == "":
        raise UserError(f"--tracking: {uri!r} names no file; write sqlite:///relative.db or sqlite:////absolute.db")
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
        return  # it answers; a proxy may ask for the credentials that the client will send
    except (OSError, ValueError) as error:
        raise UserError(f"--tracking: {without_secrets(uri)} does not answer: {error}") from None


def _check_driver(uri: str) -> None:
    scheme, _, named = urlsplit(uri).scheme.partition("+")
    driver = named if named != "" else _DRIVERS[scheme]
    if find_spec(driver) is None:
        way = "install it, or name an MLflow server that runs on this database (http://HOST:PORT)"
        raise UserError(f"--tracking: {without_secrets(uri)} needs the Python package {driver}, which is absent; {way}")


def _check_database(uri: str, default_port: int, timeout: float) -> None:
    try:
        parts = urlsplit(uri)
        address = (parts.hostname if parts.hostname is not None else "localhost", parts.port or default_port)
        socket.create_connection(address, timeout=timeout).close()
    except (OSError, ValueError) as error:
        raise UserError(f"--tracking: {without_secrets(uri)} does not answer: {error}") from None
