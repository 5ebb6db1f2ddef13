"""Tables of what there is, such as stages and metrics, which the plug-ins of a study extend while it is in use.

The entries of the active plug-ins are the one value of this process that changes: see ARCHITECTURE.md, "Plug-ins".
`extended` sets them for a block and restores what was there before, so nothing of a study is left behind.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

Entry = TypeVar("Entry")
Additions: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Name of a table to the entries that plug-ins add to it."""


@dataclass
class _Active:
    additions: Additions


_ACTIVE = _Active({})


@contextmanager
def extended(additions: Additions) -> Iterator[None]:
    """Add the entries of `additions` to all tables of this process until the end of the block.

    In a block inside of another, only the inner additions hold.
    """
    before, _ACTIVE.additions = _ACTIVE.additions, additions
    try:
        yield
    finally:
        _ACTIVE.additions = before


class Table(Mapping[str, Entry]):
    """The built-in entries of a table, and those of the active plug-ins, in this order."""

    def __init__(self, name: str, entries: Mapping[str, Entry]) -> None:
        self._name, self._built_in = name, dict(entries)

    def __getitem__(self, key: str) -> Entry:
        return self._built_in[key] if key in self._built_in else self._added[key]

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self._added

    def __len__(self) -> int:
        return len(self._built_in) + len(self._added)

    @property
    def _added(self) -> Mapping[str, Entry]:
        return _ACTIVE.additions.get(self._name, {})


class DerivedTable(Mapping[str, Entry]):
    """A table that is computed from others, so that it follows their entries."""

    def __init__(self, entries: Callable[[], Mapping[str, Entry]]) -> None:
        self._entries = entries

    def __getitem__(self, key: str) -> Entry:
        return self._entries()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())
