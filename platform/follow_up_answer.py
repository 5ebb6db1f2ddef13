"""The answers of the verbs that follow a sweep (`confirm`, `ablate --from`): write an ablation's file, and run it."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from platform.analysis.follow_ups import taken_apart
from platform.analysis.search_result import SearchResult, read_search
from platform.cli import Answer, options_of
from platform.errors import StudyError
from platform.options import Options, open_readable, open_writable
from platform.record.stored_plugins import trusted_plugins
from platform.record.study_names import resolve_study
from platform.run_answers import study_answer
from platform.study import yaml_source
from platform.study.ablation_file import build_ablation
from platform.study.attempts import find_attempt
from platform.study.follow_up import FollowUp, written

FOLDER = "ablations"
"""The folder of the home in which the files of such ablations are written."""


def follow_up_answer(
    arguments: argparse.Namespace, plan: Callable[[SearchResult], FollowUp], *, sweep: str, seeds: int | None
) -> Answer:
    """Write the ablation that `plan` makes of the sweep named `sweep`, and run it; with --dry-run show its plan only.

    Raises:
        UserError: The sweep cannot be followed, or the ablation was registered with another design.
    """
    options = options_of(arguments)
    store = open_readable(options)
    study_id = resolve_study(store, sweep)
    plugins = trusted_plugins(store, study_id, trusted=arguments.trusted)
    with plugins.active():
        search = read_search(store, study_id)
        search = replace(search, study=replace(search.study, plugins=plugins))
        follow_up = plan(search)
        heading = (*follow_up.heading, *(f"Run with --set {setting}." for setting in arguments.settings))
        text = written(replace(follow_up, heading=heading), search.study, seeds=seeds)
        store = store if options.dry_run else open_writable(options)
        path = _path(options, follow_up.name, follow_up.name)
        study = build_ablation(yaml_source.parse(text, path=str(path)), settings=arguments.settings, plugins=plugins)
        study = find_attempt(study, store, new=arguments.fork)
        path = _path(options, study.id, follow_up.name)
        if not options.dry_run:
            _write(path, text)
        return study_answer(replace(study, path=str(path), notes=(*follow_up.notes, *study.notes)), store, options)


def apart_answer(arguments: argparse.Namespace) -> Answer:
    """Return the answer of `ablate --from STUDY`."""
    return follow_up_answer(
        arguments,
        lambda search: taken_apart(search, search.named(arguments.target)),
        sweep=arguments.sweep,
        seeds=None,
    )


def _path(options: Options, study_id: str, name: str) -> Path:
    """Return the file of an attempt. Each has a folder of its own, so that a fork overwrites no earlier file."""
    return options.home / FOLDER / study_id / f"{name}.yaml"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error}") from error
