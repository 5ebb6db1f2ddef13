"""Tables of kinds: what a config chooses by name."""

from collections.abc import Mapping
from typing import TypeVar

Kind = TypeVar("Kind", bound=str)
Entry = TypeVar("Entry")


def of_kind(table: Mapping[Kind, Entry], kind: Kind, *, field: str) -> Entry:
    """Return the entry of `table` that the config field `field` chooses by `kind`.

    Raises:
        ValueError: The table has no such kind; the message lists those it has.
    """
    if kind not in table:
        raise ValueError(f"{field}: there is no {kind!r}; there are: {', '.join(table)}")
    return table[kind]
