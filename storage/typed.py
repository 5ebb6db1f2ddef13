"""Checks of the types in records that are read back. They may come from another version, or from anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from types import GenericAlias
from typing import Any, NotRequired, get_type_hints

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, ValidationError

from storage.errors import IntegrityError

_TYPED_DICT: Any = typing_extensions.TypedDict  # pydantic takes no other before Python 3.12


def check_fields(kind: type, values: Mapping[str, Any], **types: Any) -> None:
    """Raise `IntegrityError` unless `values` are arguments of the dataclass `kind`: no other names, and right types.

    Args:
        kind: A dataclass.
        values: Its arguments by name. They stay as they are: nothing is converted.
        types: Field to the type that is checked instead of its annotation.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     width: int
        >>> check_fields(Size, {"width": 3})
        >>> check_fields(Size, {"width": "3"})
        Traceback (most recent call last):
        storage.errors.IntegrityError: width is '3': input should be a valid integer
    """
    _check(_adapter(kind, tuple(types.items())), values)


def check_mapping(values: Any, **types: Any) -> None:
    """Raise `IntegrityError` unless `values` is a mapping that has keys of these `types`; it may have others.

    Numbers must be finite.
    """
    _check(_of_mapping(tuple(types.items())), values)


def _check(adapter: TypeAdapter[Any], values: Any) -> None:
    try:
        adapter.validate_python(values)
    except ValidationError as error:
        raise IntegrityError(_message(error)) from error


def mapping_with(**types: Any) -> Any:
    """Return the type of mappings that have keys of these `types`, and may have others."""
    form: Any = _TYPED_DICT("mapping", types)
    form.__pydantic_config__ = ConfigDict(strict=True, extra="allow")
    return form


def sequence_of(kind: Any) -> Any:
    """Return the type of sequences of `kind`, which may be made while the program runs."""
    return GenericAlias(Sequence, kind)


def mapping_to(kind: Any) -> Any:
    """Return the type of mappings from texts to `kind`, which may be made while the program runs."""
    return GenericAlias(Mapping, (str, kind))


@cache
def _of_mapping(types: tuple[tuple[str, Any], ...]) -> TypeAdapter[Any]:
    form = mapping_with(**dict(types))
    form.__pydantic_config__["allow_inf_nan"] = False
    return TypeAdapter(form)


@cache
def _adapter(kind: type, types: tuple[tuple[str, Any], ...]) -> TypeAdapter[Any]:
    hints = {**get_type_hints(kind), **dict(types)}
    expected = {
        field.name: hints[field.name]
        if field.default is MISSING and field.default_factory is MISSING
        else NotRequired[hints[field.name]]
        for field in fields(kind)
    }
    form: Any = _TYPED_DICT(kind.__name__, expected)
    form.__pydantic_config__ = ConfigDict(strict=True, extra="forbid")
    return TypeAdapter(form)


def _message(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where, received = ".".join(map(str, first["loc"])), repr(first["input"])
    text = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] in ("missing", "extra_forbidden"):
        return f"{where}: {text}"
    return f"{where if where else 'it'} is {received if len(received) <= 80 else received[:77] + '...'}: {text}"
