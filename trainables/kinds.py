"""Look-up in tables from which a config field selects an entry by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar, cast

from storage.names import nearest

Kind = TypeVar("Kind", bound=str)
Entry = TypeVar("Entry")
Functions = TypeVar("Functions")


@dataclass(frozen=True)
class ReaderEntry(Generic[Functions]):
    """An entry of a table of readers, whose module is imported when it is asked for."""

    name: str
    description: str
    """Half a sentence for people who choose."""
    module: str
    """Where its functions are."""

    @property
    def reader(self) -> Functions:
        """Its functions; imports them."""
        return cast(Functions, import_module(self.module))


def of_kind(table: Mapping[Kind, Entry], kind: Kind, *, field: str) -> Entry:
    """Return the entry of `table` that the config field `field` selects by its value `kind`.

    Raises:
        ValueError: The table has no such kind. The message lists the kinds.
    """
    if kind not in table:
        raise ValueError(f"{field}: there is no {kind!r}; {nearest(kind, table)}")
    return table[kind]
