"""Identity: which fields of a config decide a result, and the hash of them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SCHEMA = 1
"""Raised when the way identities are computed changes; every stored run then becomes unreachable."""


class Circumstance:
    """Marks, in `Annotated[type, CIRCUMSTANCE]`, a field that says how or where to run, never what comes out."""


CIRCUMSTANCE = Circumstance()


class ByContent:
    """Marks, in `Annotated[str, BY_CONTENT]`, a field whose absolute paths and URIs stay outside of the identity.

    What lies there decides the result, and the fingerprint of the stage has its digest. So a folder can be moved or
    renamed, and two folders with one content are one. Any other value, such as the name of a model on a hub, counts.
    """


BY_CONTENT = ByContent()


@dataclass(frozen=True)
class SINCE:
    """Marks, in `Annotated[type, SINCE(default)]`, a field that was added after results had been stored.

    At this default, which stands for what was done before there was the field, it is left out of the identity: stored
    results stay valid. The field's own default may change later; the marked one may not.
    """

    default: Any


class DECIDES:
    """Marks, in `Annotated[type, DECIDES("clips")]`, a field of which only the named stages depend directly.

    A field without this mark decides all stages that have its section.
    """

    def __init__(self, *stages: str) -> None:
        self.stages = stages


class SPARES:
    """Marks, in `Annotated[type, SPARES("cotrain")]`, a field that the named stages do not read of its section."""

    def __init__(self, *stages: str) -> None:
        self.stages = stages


def decides(info: FieldInfo, stage: str) -> bool:
    """Tell whether the field `info` can change what `stage` makes of its section."""
    marks = [mark for mark in info.metadata if isinstance(mark, DECIDES)]
    spared = any(stage in mark.stages for mark in info.metadata if isinstance(mark, SPARES))
    circumstance = any(isinstance(mark, Circumstance) for mark in info.metadata)
    return not circumstance and not spared and all(stage in mark.stages for mark in marks)


def identity_fields(model: BaseModel, *, stage: str | None = None) -> dict[str, Any]:
    """Return the fields of `model` that decide its result, as plain JSON values, nested models included.

    With `stage`, only those that decide this stage.
    """
    fields: dict[str, Any] = {}
    plain = model.model_dump(mode="json")
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if _counts(info, value) and (stage is None or decides(info, stage)):
            fields[name] = _identity_value(value, plain[name])
    return fields


def _identity_value(value: object, plain: Any) -> Any:
    """Return what of a field's value counts: of models in it, alone or in a tuple, the fields that decide."""
    if isinstance(value, BaseModel):
        return identity_fields(value)
    if isinstance(value, tuple | list) and value and all(isinstance(part, BaseModel) for part in value):
        return [identity_fields(part) for part in value]
    return plain


def decisive_names(model: BaseModel) -> Iterator[str]:
    """Yield the dotted names of all fields of `model` that decide its result at some value."""
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if any(isinstance(mark, Circumstance) for mark in info.metadata):
            continue
        yield from (f"{name}.{inner}" for inner in decisive_names(value)) if isinstance(value, BaseModel) else (name,)


def _counts(info: FieldInfo, value: object) -> bool:
    marks = info.metadata
    old = any(isinstance(mark, SINCE) and value == mark.default for mark in marks)
    elsewhere = str(value).startswith("/") or "://" in str(value)
    folder = any(isinstance(mark, ByContent) for mark in marks) and elsewhere
    return not old and not folder and not any(isinstance(mark, Circumstance) for mark in marks)


def canonical(value: Any) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, *, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `canonical(value)`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
