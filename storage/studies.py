"""The frozen definitions of studies."""

from collections.abc import Mapping
from typing import Any

from storage import layout
from storage.base import Store
from storage.content import sealed, unsealed
from storage.errors import ExistsError


def save_study(store: Store, name: str, definition: Mapping[str, Any]) -> None:
    """Store `definition` once. Raises `ExistsError` if `name` holds another one; the same again changes nothing."""
    key, data = layout.study(name), sealed(definition)
    try:
        store.put(key, data)
    except ExistsError as error:
        if store.get(key) != data:
            raise ExistsError(f"{store.uri} holds another study named {name}") from error


def load_study(store: Store, name: str) -> dict[str, Any]:
    """Return the definition of study `name`. Raises `NotFoundError`, or `IntegrityError` if it is damaged."""
    key = layout.study(name)
    return unsealed(key, store.get(key))
