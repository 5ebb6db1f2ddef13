"""Resolves names on the command line: a study or a trial of a store, by its full or its short name."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from platform.errors import UserError
from platform.study.file_name import study_name
from storage import layout
from storage.base import Store
from storage.environment import without_secrets
from storage.names import similar
from storage.studies import list_studies

_SUFFIX = re.compile(r"(-[0-9a-f]{8})?(\.\d+)?$")
"""The end of a study's id after its name: the hash of a sweep's definition, the number of an attempt."""
_SHOWN = 8
"""The largest number of names that a message lists."""

_Listed = Mapping[str, Sequence[str]]
"""Every accepted name to the names that a message shows for it."""


def short_name(study: str) -> str:
    """Return the id of a study without hash and attempt: `cmg` for `cmg-1a2b3c4d.2`, `table6` for `table6.2`."""
    return _SUFFIX.sub("", study)


def resolve_study(store: Store, name: str) -> str:
    """Return the id of the study that `name` means: an id, an id without its hash, or the study's file.

    Raises:
        UserError: No study of `store` has that name, or several studies have it.
    """
    stem = _of_file(name)
    if _is_stored(store, stem):
        return stem
    studies = list_studies(store)
    matches = [study for study in studies if short_name(study) == stem]
    if not matches:
        _refuse_unknown(store, "study", stem, _listed(studies))
    return _only(stem, matches)


def resolve_studies(store: Store, names: Sequence[str]) -> list[str]:
    """Return the ids of the studies `names`, or of all studies of `store`. Raises `UserError` if there are none."""
    studies = [resolve_study(store, name) for name in names] or list(list_studies(store))
    if not studies:
        raise UserError(_empty(store))
    return studies


def resolve_trial(store: Store, name: str) -> tuple[str, str | None]:
    """Return the study that `name` means, and the trial if `name` means a trial.

    Args:
        store: The store of the studies.
        name: A study as in `resolve_study`, `study/trial`, or a trial whose name only one study has.

    Raises:
        UserError: No study or trial of `store` has that name, or several have it.
    """
    trials = _trials_by_study(store)
    if not trials:
        raise UserError(_empty(store))
    if name.endswith(".yaml"):
        return resolve_study(store, name), None
    study, slash, trial = name.partition("/")
    matches = _matches(study, trials)
    if not matches and not slash:
        matches, trial = sorted(candidate for candidate, names in trials.items() if name in names), name
    if not matches:
        trial_names = {} if slash else {each: [each] for names in trials.values() for each in names}
        _refuse_unknown(store, "study or trial", name, trial_names | _listed(trials), study)
    study = _only(name, [f"{match}/{trial}" if trial else match for match in matches]).partition("/")[0]
    if trial and trial not in trials[study]:
        near = _near(trial, {listed_name: [listed_name] for listed_name in trials[study]})
        raise UserError(f"study {study} has no trial {trial}; {near}")
    return study, trial or None


def _of_file(name: str) -> str:
    """Return the name of the study if `name` is its file, else `name`."""
    return study_name(name) if name.endswith(".yaml") else name


def _is_stored(store: Store, study: str) -> bool:
    try:
        return store.exists(layout.study(study))
    except ValueError:  # no study can have that name
        return False


def _matches(name: str, studies: Iterable[str]) -> list[str]:
    return [name] if name in studies else sorted(study for study in studies if short_name(study) == name)


def _only(name: str, matches: Sequence[str]) -> str:
    if len(matches) > 1:
        raise UserError(f'"{name}" is ambiguous: it matches {" and ".join(matches)}. Use the full name.')
    return matches[0]


def _listed(studies: Iterable[str]) -> dict[str, Sequence[str]]:
    """Return the names of `studies`. A message shows a study once: by its short name if only one study has it."""
    by_short_name: dict[str, list[str]] = defaultdict(list)
    for study in studies:
        by_short_name[short_name(study)].append(study)
    listed: dict[str, Sequence[str]] = {}
    for short, ids in by_short_name.items():
        unique = len(ids) == 1
        listed |= {study: [short] if unique else [study] for study in ids}
        listed[short] = [short] if unique else sorted(ids)
    return listed


def _refuse_unknown(store: Store, what: str, name: str, listed: _Listed, part: str = "") -> NoReturn:
    if not listed:
        raise UserError(f"there is no {what} {name}: {_empty(store)}")
    raise UserError(f"{without_secrets(store.uri)} holds no {what} {name}; {_near(part or name, listed)}")


def _empty(store: Store) -> str:
    return f"{without_secrets(store.uri)} holds no study yet; set --home or --store to use another store"


def _near(name: str, listed: _Listed) -> str:
    """Return the nearest names as a question, and all names if they are few."""
    shown = dict.fromkeys(shown for match in similar(name, listed) for shown in listed[match])
    question = f"did you mean {' or '.join(shown)}?" if shown else ""
    names = sorted({shown for every in listed.values() for shown in every})
    if len(names) <= _SHOWN:
        return f"{question} there are: {', '.join(names)}".lstrip()
    return question or f"there are: {', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"


def _trials_by_study(store: Store) -> Mapping[str, set[str]]:
    """Return the names of the trials of each study."""
    trials: dict[str, set[str]] = {}
    for key in store.list(layout.studies()):
        study, kind, *rest = key.removeprefix(layout.studies()).split("/")
        names = trials.setdefault(study, set())
        if kind == "events":
            names.add(rest[0])
    return trials
