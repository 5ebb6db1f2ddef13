"""Rebuilds a runnable study from the store's records, for `resume`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform.errors import UserError
from platform.record.study_from_store import recorded_study
from platform.record.warm_start import with_earlier_results
from platform.study import yaml_source
from platform.study.earlier_results import EarlierResults
from platform.study.registration import KIND, difference
from platform.study.study import Study
from platform.study.sweep_file import build_study
from storage.base import Store
from storage.errors import IntegrityError
from storage.studies import load_calls, load_definition
from storage.typed import check_mapping
from trainables.config.trial import WEIGHT_FIELDS
from trainables.datasets.errors import DatasetError
from trainables.plugins.active import NO_PLUGINS, Plugins


def runnable_study(store: Store, study_id: str, plugins: Plugins = NO_PLUGINS) -> Study:
    """Return study `study_id` as it was last run. Its `plugins` must be active.

    A sweep is built from the recorded text of its file and the settings of its last call, an ablation from its
    registered design.

    Raises:
        UserError: The sweep was run before files were recorded, its data cannot be read, or this version of the code
            builds another study from the same records.
        storage.errors.StoreError: The records are damaged or cannot be read.
    """
    try:
        if load_definition(store, study_id)["definition"].get("kind") == KIND:
            # Without the recorded definition: this code computes it.
            study = replace(recorded_study(store, study_id), plugins=plugins)
        else:
            study = _sweep(study_id, _last_call(store, study_id), plugins)
            study = with_earlier_results(_with_recorded_source(study, store, study_id), store)
        continued = study.continued(store) if study.id == study_id else None
    except (OSError, DatasetError) as error:
        raise UserError(f"{study_id} cannot be continued: its data cannot be read: {error}") from error
    if continued is None:
        raise UserError(_refusal(study, store, study_id))
    return continued


def _sweep(study_id: str, call: Mapping[str, Any], plugins: Plugins) -> Study:
    source = yaml_source.parse(call["source"], path=call["path"])
    name, _, number = study_id.partition(".")
    study = build_study(source, name=name.rpartition("-")[0], settings=_settings(call), plugins=plugins)
    return replace(study, attempt=int(number) if number else 1, settings=tuple(call["settings"]))


def _with_recorded_source(study: Study, store: Store, study_id: str) -> Study:
    """Return `study` with the sweep that it started from, by its id: its name may have become ambiguous since."""
    source = load_definition(store, study_id)["definition"].get("start_from")
    return study if source is None else replace(study, start_from=EarlierResults(study=source))


def _refusal(study: Study, store: Store, study_id: str) -> str:
    """Return the message that shows how the study built by this code differs from the stored one."""
    return (
        f"{study_id} cannot be continued: this code builds another study from its recorded file, because defaults, "
        "the version of a stage, or data have changed:\n"
        f"{difference(load_definition(store, study_id)['definition'], study.definition)}\n"
        f"python -m platform.{study.verb} {study.path} runs the file as it is now"
    )


def file_note(store: Store, study_id: str) -> str | None:
    """Return a note if the study's file cannot be read or has changed since the last run; else None."""
    calls = load_calls(store, study_id)
    if not calls:
        return None
    call = _checked(calls[-1], study_id)
    path = Path(call["path"])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return f"{path} cannot be read from here; its recorded text is used"
    if text == call["source"]:
        return None
    return f"{path} has changed since {study_id} was run; its recorded text is used"


def _last_call(store: Store, study_id: str) -> Mapping[str, Any]:
    calls = load_calls(store, study_id)
    if not calls:
        raise UserError(f"{study_id} was run before files were recorded; run its file again to continue it")
    return _checked(calls[-1], study_id)


def _checked(call: Mapping[str, Any], study_id: str) -> Mapping[str, Any]:
    try:
        check_mapping(call, source=str, path=str, settings=Sequence[str], base=Mapping[str, Any])
    except IntegrityError as error:
        raise IntegrityError(f"the record of the last call of {study_id} cannot be used: {error}") from error
    return call


def _settings(call: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the settings of the command line, and the folders of data set and weights as they were resolved then."""
    given = {name: call["base"].get(name) for name in ("dataset.path", *WEIGHT_FIELDS)}
    folders = {name: folder for name, folder in given.items() if str(folder).startswith("/")}
    return (*call["settings"], *(f"{name}={json.dumps(folder)}" for name, folder in folders.items()))
