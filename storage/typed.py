"""Checks of the types in records that are read back. They may come from another version, or from anybody."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, NotRequired, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from storage.errors import IntegrityError


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
    """Raise `IntegrityError` unless `values` is a mapping that has keys of these `types`; it may have others."""
    _check(_of_mapping(tuple(types.items())), values)


def _check(adapter: TypeAdapter[Any], values: Any) -> None:
    try:
        adapter.validate_python(values)
    except ValidationError as error:
        raise IntegrityError(_message(error)) from error


def mapping_with(**types: Any) -> Any:
    """Return the type of mappings that have keys of these `types`, and may have others."""
    form: Any = TypedDict("mapping", types)  # type: ignore[operator]
    form.__pydantic_config__ = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    return form


@cache
def _of_mapping(types: tuple[tuple[str, Any], ...]) -> TypeAdapter[Any]:
    return TypeAdapter(mapping_with(**dict(types)))


@cache
def _adapter(kind: type, types: tuple[tuple[str, Any], ...]) -> TypeAdapter[Any]:
    hints = {**get_type_hints(kind), **dict(types)}
    expected = {
        field.name: hints[field.name]
        if field.default is MISSING and field.default_factory is MISSING
        else NotRequired[hints[field.name]]
        for field in fields(kind)
    }
    form: Any = TypedDict(kind.__name__, expected)  # type: ignore[operator]
    form.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return TypeAdapter(form)


def _message(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where, received = ".".join(map(str, first["loc"])), repr(first["input"])
    text = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] in ("missing", "extra_forbidden"):
        return f"{where}: {text}"
    return f"{where if where else 'it'} is {received if len(received) <= 80 else received[:77] + '...'}: {text}"
