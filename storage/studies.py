"""Stored studies: the frozen definition, its amendments, and the calls of drivers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired

from pydantic import Field

from storage import layout
from storage.base import Store
from storage.content import put_sealed, sealed, unsealed
from storage.errors import ExistsError, IntegrityError
from storage.typed import check_mapping

_log = logging.getLogger(__name__)


_CALL: Mapping[str, Any] = {
    "time": float,
    "source": NotRequired[str],
    "path": NotRequired[str],
    "settings": NotRequired[Sequence[str]],
    "base": NotRequired[Mapping[str, Any]],
    "fields": NotRequired[Sequence[str]],
    "trials": NotRequired[Annotated[int, Field(ge=0)]],
    "provenance": NotRequired[Mapping[str, str]],
}
"""What the record of a call has; early ones had less."""


def save_study(store: Store, name: str, definition: Mapping[str, Any]) -> None:
    """Store `definition` once. Storing the same definition again changes nothing; a damaged one is written anew.

    Raises:
        ExistsError: The store has another definition of `name`.
    """
    key = layout.study(name)
    try:
        put_sealed(store, key, definition)
    except ExistsError as error:
        if store.get(key) != sealed(definition):
            raise ExistsError(f"{store.uri} holds another study named {name}") from error


def load_definition(store: Store, name: str) -> dict[str, Any]:
    """Return the definition of study `name`. Raises `NotFoundError`, or `IntegrityError` if it is damaged."""
    key = layout.study(name)
    return _checked(key, unsealed(key, store.get(key)), definition=Mapping[str, Any])


def _checked(key: str, value: dict[str, Any], **types: Any) -> dict[str, Any]:
    """Return `value`, which was read from `key`. Raises `IntegrityError` unless it has values of these `types`."""
    try:
        check_mapping(value, **types)
    except IntegrityError as error:
        raise IntegrityError(f"{key} is not such a record: {error}") from error
    return value


def save_amendment(store: Store, name: str, number: int, value: Mapping[str, Any]) -> None:
    """Store amendment `number` (from 1) of study `name`. Raises `ExistsError` if it exists already."""
    store.put(layout.amendment(name, number), sealed(value))


def load_amendments(store: Store, name: str) -> tuple[dict[str, Any], ...]:
    """Return the amendments of study `name` in order. Raises `IntegrityError` if one is damaged."""
    return tuple(unsealed(key, store.get(key)) for key in store.list(layout.amendments(name)))


def save_call(store: Store, name: str, value: Mapping[str, Any], *, time: float) -> None:
    """Record the call of a driver for study `name` at `time` (seconds since 1970), unless it equals the last call.

    The caller must hold the study's lease. If the last call is damaged, as after a power cut, this one takes its place.

    Raises:
        ExistsError: Another process recorded a call at the same time.
    """
    keys = list(store.list(layout.calls(name)))
    number = len(keys) + 1
    if keys:
        try:
            last = unsealed(keys[-1], store.get(keys[-1]))
            if sealed({**last, "time": time}) == sealed({**value, "time": time}):  # as JSON, which has no tuples
                return
        except IntegrityError as error:
            _log.warning("%s; it is written anew", error)
            number -= 1
    put_sealed(store, layout.call(name, number), {**value, "time": time})


def load_calls(store: Store, name: str) -> tuple[dict[str, Any], ...]:
    """Return the calls of drivers for study `name`, in order. A damaged one is left out with a warning."""
    calls = []
    for key in store.list(layout.calls(name)):
        try:
            calls.append(_checked(key, unsealed(key, store.get(key)), **_CALL))
        except IntegrityError as error:
            _log.warning("%s; it is left out", error)
    return tuple(calls)


def list_studies(store: Store) -> tuple[str, ...]:
    """Return the names of all studies, in lexical order."""
    parts = (key.removeprefix(layout.studies()).partition("/") for key in store.list(layout.studies()))
    return tuple(name for name, _, rest in parts if rest == "study.json")
