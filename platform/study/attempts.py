"""Finds the attempt at a study that a command means: a stored attempt that it continues, or a new one."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import TypeVar

from platform.errors import UserError
from platform.study.registration import difference
from platform.study.study import Study
from storage import layout
from storage.base import Store
from storage.studies import load_definition

AnyStudy = TypeVar("AnyStudy", bound=Study)


def find_attempt(study: AnyStudy, store: Store, *, new: bool) -> AnyStudy:
    """Return `study` as the latest attempt in `store` with the same definition; as the next attempt if `new`.

    Raises:
        UserError: `store` has attempts at `study`, but all have another definition; shows the differences.
    """
    attempts = list(_attempts(study, store))
    if new or not attempts:
        return replace(study, attempt=len(attempts) + 1)
    for attempt in reversed(attempts):
        continued = attempt.continued(store)
        if continued is not None:
            return continued
    raise UserError(_refusal(attempts[-1], store))


def _attempts(study: AnyStudy, store: Store) -> Iterator[AnyStudy]:
    """Yield the attempts at `study` that `store` has, in order."""
    for number in count(1):
        attempt = replace(study, attempt=number)
        if not store.exists(layout.study(attempt.id)):
            return
        yield attempt


def _refusal(study: Study, store: Store) -> str:
    registered = load_definition(store, study.id)["definition"]
    return (
        f"{study.path}: {study.id} was registered with another design:\n"
        f"{difference(registered, study.definition)}\n"
        "undo the change, or run it as a new ablation with --fork; add seeds with --add-seeds"
    )
