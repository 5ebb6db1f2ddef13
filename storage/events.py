"""The append-only log of a study's trials: one sealed JSON object per event."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from storage import layout
from storage.base import Store
from storage.content import sealed, unsealed
from storage.errors import ExistsError, IntegrityError
from storage.parallel import ordered

_log = logging.getLogger(__name__)

_LIMIT = 1_000_000  # six digits: beyond, the order of keys would not be that of the events


class EventLog:
    """The events of all trials of one study. Appending an event makes it durable before anything else sees it."""

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self._study = layout.checked(study)

    def append(self, trial: str, sequence: int, value: Mapping[str, Any]) -> None:
        """Store `value` as event `sequence` (from 0) of `trial`.

        Raises `ExistsError` if that event was written before, and `ValueError` for a value that is not JSON (NaN,
        infinity). An event that a power cut left damaged counts as not written.
        """
        if not 0 <= sequence < _LIMIT:
            raise ValueError(f"0 <= sequence < {_LIMIT} must hold, but got {sequence}")
        key = layout.event(self._study, trial, sequence)
        data = sealed(value)
        try:
            self._store.put(key, data)
        except ExistsError:
            if not isinstance(self._load(key), IntegrityError):
                raise
            self._store.put(key, data, replace=True)

    def get(self, trial: str, sequence: int) -> dict[str, Any]:
        """Return one event. Raises `NotFoundError`, or `IntegrityError` if it is damaged."""
        key = layout.event(self._study, trial, sequence)
        return unsealed(key, self._store.get(key))

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield all events in order of (trial, sequence).

        The last events of a trial are left out with a warning if they are damaged (a power cut; the trial goes on from
        there). Raises `IntegrityError` for a damaged event that intact ones follow: that is no accident of writing.
        """
        yield from self._intact(list(self._store.list(layout.events(self._study))))

    def ends(self) -> Iterator[dict[str, Any]]:
        """Yield the first and the last event of every trial, as `read` would: what it is, and how it stands.

        However many epochs a trial reported, two events of it are read.
        """
        found = groupby(self._store.list(layout.events(self._study)), key=self._trial)
        yield from self._intact([key for _, group in found for key in _outer(group)])

    def trials(self) -> tuple[str, ...]:
        """Return the trials that have events, in lexical order."""
        return tuple(dict.fromkeys(map(self._trial, self._store.list(layout.events(self._study)))))

    def _intact(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the events under `keys`, which are in order; see `read` for what becomes of damaged ones."""
        damaged: dict[str, IntegrityError] = {}
        for key, event in zip(keys, ordered(self._load, keys, self._store.concurrency), strict=True):
            trial = self._trial(key)
            if isinstance(event, IntegrityError):
                _log.warning("%s; it is left out", event)
                damaged.setdefault(trial, event)
            elif trial in damaged:
                raise damaged[trial]
            else:
                yield event

    def _trial(self, key: str) -> str:
        return key.removeprefix(layout.events(self._study)).partition("/")[0]

    def _load(self, key: str) -> dict[str, Any] | IntegrityError:
        try:
            return unsealed(key, self._store.get(key))
        except IntegrityError as error:
            return error


def _outer(keys: Iterable[str]) -> Iterator[str]:
    """Yield the first and, if it is another, the last of `keys`."""
    first, *rest = keys
    yield first
    yield from rest[-1:]
