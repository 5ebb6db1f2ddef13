"""Stored studies: the frozen definition, its amendments, and the calls of drivers."""

from collections.abc import Mapping
from typing import Any

from storage import layout
from storage.base import Store
from storage.content import sealed, unsealed
from storage.errors import ExistsError


def save_study(store: Store, name: str, definition: Mapping[str, Any]) -> None:
    """Store `definition` once. Storing the same definition again changes nothing.

    Raises:
        ExistsError: The store has another definition of `name`.
    """
    key, data = layout.study(name), sealed(definition)
    try:
        store.put(key, data)
    except ExistsError as error:
        if store.get(key) != data:
            raise ExistsError(f"{store.uri} holds another study named {name}") from error


def load_definition(store: Store, name: str) -> dict[str, Any]:
    """Return the definition of study `name`. Raises `NotFoundError`, or `IntegrityError` if it is damaged."""
    key = layout.study(name)
    return unsealed(key, store.get(key))


def save_amendment(store: Store, name: str, number: int, value: Mapping[str, Any]) -> None:
    """Store amendment `number` (from 1) of study `name`. Raises `ExistsError` if it exists already."""
    store.put(layout.amendment(name, number), sealed(value))


def load_amendments(store: Store, name: str) -> tuple[dict[str, Any], ...]:
    """Return the amendments of study `name` in order. Raises `IntegrityError` if one is damaged."""
    return tuple(unsealed(key, store.get(key)) for key in store.list(layout.amendments(name)))


def save_call(store: Store, name: str, value: Mapping[str, Any], *, time: float) -> None:
    """Record the call of a driver for study `name` at `time` (seconds since 1970), unless it equals the last call.

    The caller must hold the study's lease.

    Raises:
        ExistsError: Another process recorded a call at the same time.
    """
    keys = list(store.list(layout.calls(name)))
    data = sealed({**value, "time": time})
    if keys:
        last = unsealed(keys[-1], store.get(keys[-1]))
        if sealed({**last, "time": time}) == data:
            return
    store.put(layout.call(name, len(keys) + 1), data)


def load_calls(store: Store, name: str) -> tuple[dict[str, Any], ...]:
    """Return the calls of drivers for study `name`, in order. Raises `IntegrityError` if one is damaged."""
    return tuple(unsealed(key, store.get(key)) for key in store.list(layout.calls(name)))


def list_studies(store: Store) -> tuple[str, ...]:
    """Return the names of all studies, in lexical order."""
    parts = (key.removeprefix(layout.studies()).partition("/") for key in store.list(layout.studies()))
    return tuple(name for name, _, rest in parts if rest == "study.json")
