"""Look-up in tables from which a config field selects an entry by name."""

from collections.abc import Mapping
from typing import TypeVar

Kind = TypeVar("Kind", bound=str)
Entry = TypeVar("Entry")


def of_kind(table: Mapping[Kind, Entry], kind: Kind, *, field: str) -> Entry:
    """Return the entry of `table` that the config field `field` selects by its value `kind`.

    Raises:
        ValueError: The table has no such kind. The message lists the kinds.
    """
    if kind not in table:
        raise ValueError(f"{field}: there is no {kind!r}; there are: {', '.join(table)}")
    return table[kind]
