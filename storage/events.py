"""The append-only event log of a study: one JSON object with its own digest per event."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from storage import layout
from storage.base import Store
from storage.content import put_sealed, unsealed
from storage.errors import IntegrityError
from storage.parallel import ordered

_log = logging.getLogger(__name__)

_LIMIT = 1_000_000  # six digits: above that, the order of keys differs from the order of events


class EventLog:
    """The events of all trials of one study. An event is stored before any view sees it."""

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self._study = layout.checked(study)
        self._prefix = layout.events(self._study)

    def append(self, trial: str, sequence: int, value: Mapping[str, Any]) -> None:
        """Store `value` as event `sequence` (from 0) of `trial`.

        An event that a power cut damaged counts as not written.

        Raises:
            ExistsError: The event was written before.
            ValueError: `value` is not JSON (NaN, infinity), or `sequence` is out of range.
        """
        if not 0 <= sequence < _LIMIT:
            raise ValueError(f"sequence is {sequence}; it must be at least 0 and below {_LIMIT}")
        put_sealed(self._store, layout.event(self._study, trial, sequence), value)

    def get(self, trial: str, sequence: int) -> dict[str, Any]:
        """Return one event. Raises `NotFoundError`, or `IntegrityError` if it is damaged."""
        key = layout.event(self._study, trial, sequence)
        return unsealed(key, self._store.get(key))

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield all events in order of (trial, sequence).

        Damaged events at the end of a trial are left out with a warning: after a power cut, the trial continues from
        there.

        Raises:
            IntegrityError: An intact event follows a damaged one, which an interrupted write cannot cause.
        """
        yield from self._intact(list(self._store.list(self._prefix)))

    def ends(self) -> Iterator[dict[str, Any]]:
        """Yield the first and the last event of every trial: its config and its current state.

        Only these two events of each trial are read. Damaged events are treated as in `read`.
        """
        by_trial = groupby(self._store.list(self._prefix), key=self._trial)
        yield from self._intact([key for _, keys in by_trial for key in _first_and_last(keys)])

    def trials(self) -> tuple[str, ...]:
        """Return the trials that have events, in lexical order."""
        return tuple(dict.fromkeys(map(self._trial, self._store.list(self._prefix))))

    def _intact(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the events of the ordered `keys`. Damaged events are treated as in `read`."""
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
        return key.removeprefix(self._prefix).partition("/")[0]

    def _load(self, key: str) -> dict[str, Any] | IntegrityError:
        try:
            return unsealed(key, self._store.get(key))
        except IntegrityError as error:
            return error


def _first_and_last(keys: Iterable[str]) -> Iterator[str]:
    """Yield the first and the last of `keys`; a single key once."""
    first, *rest = keys
    yield first
    yield from rest[-1:]
