"""Identity: which fields of a config decide a result, and the hash of them."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

SCHEMA = 1
"""Raised when the way identities are computed changes; every stored run then becomes unreachable."""


class Circumstance:
    """Marks, in `Annotated[type, CIRCUMSTANCE]`, a field that says how or where to run, never what comes out."""


CIRCUMSTANCE = Circumstance()


@dataclass(frozen=True)
class SINCE:
    """Marks, in `Annotated[type, SINCE(default)]`, a field that was added after results had been stored.

    At this default, which stands for what was done before there was the field, it is left out of the identity: stored
    results stay valid. The field's own default may change later; the marked one may not.
    """

    default: Any


def identity_fields(model: BaseModel) -> dict[str, Any]:
    """Return the fields of `model` that decide its result, as plain JSON values, nested models included."""
    fields: dict[str, Any] = {}
    plain = model.model_dump(mode="json")
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if not any(_leaves_out(mark, value) for mark in info.metadata):
            fields[name] = identity_fields(value) if isinstance(value, BaseModel) else plain[name]
    return fields


def _leaves_out(mark: object, value: object) -> bool:
    return isinstance(mark, Circumstance) or (isinstance(mark, SINCE) and value == mark.default)


def canonical(value: Any) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, *, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `canonical(value)`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
