"""Environment variables: one that is set but empty counts as not set, and secret values are cut out of texts."""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from urllib.parse import quote

SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "RAY_AUTH_TOKEN",
)
"""Variables whose values appear in no text."""
_SHORTEST = 6
"""Characters of the shortest value that is cut out: a shorter one is part of many words."""
_IN_URI = re.compile(r"(?<=://)[^/@\s]*@")
_SIGNATURE = re.compile(r"(?<=Signature=)[\w%+/=-]+")


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the value of an environment variable, or None if it is not set or empty."""
    value = environment.get(name)
    return None if value == "" else value


@contextmanager
def with_variable(name: str, value: str, environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Set, in the block, the variable `name`."""
    before = environment.get(name)
    environment[name] = value
    try:
        yield
    finally:
        if before is None:
            del environment[name]
        else:
            environment[name] = before


@contextmanager
def without_empty(prefix: str, environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Unset, in the block, the variables with `prefix` that are empty: libraries take some for the name of a file."""
    empty = [name for name, value in environment.items() if name.startswith(prefix) and value == ""]
    for name in empty:
        del environment[name]
    try:
        yield
    finally:
        environment.update(dict.fromkeys(empty, ""))


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return `text` with dots in place of secrets.

    These are the user and password of every URI, signatures of requests, and the values of `SECRET_VARIABLES`.

    Example:
        >>> without_secrets("postgresql://me:word@host/name", {})
        'postgresql://...@host/name'
        >>> without_secrets("the token abcdefgh is wrong", {"AWS_SESSION_TOKEN": "abcdefgh"})
        'the token ... is wrong'
    """
    for value in sorted(_values(environment), key=len, reverse=True):
        text = text.replace(value, "...")
    return _SIGNATURE.sub("...", _IN_URI.sub("...@", text))


def badly_set(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return what is wrong with the secret variables, by their names; None if nothing is.

    White space around a value is part of it. It is there by mistake, mostly as the last newline of a file, and servers
    answer with errors that quote the value.
    """
    names = [name for name in SECRET_VARIABLES if (value := environment.get(name, "")) != value.strip()]
    if not names:
        return None
    verb = "begins or ends" if len(names) == 1 else "begin or end"
    return f"{', '.join(names)} {verb} with white space, such as a newline; set it without"


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of secret variables as texts may show them: as they are, escaped, or quoted in a URL."""
    for name in SECRET_VARIABLES:
        value = environment.get(name, "").strip()
        if len(value) >= _SHORTEST:
            yield from (value, repr(value)[1:-1], quote(value, safe=""))
