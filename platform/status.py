"""`python -m platform.status [STUDY]`: shows the progress of a study, or lists the studies of a store."""

import argparse
import shlex
from collections.abc import Sequence

from rich.console import Console

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.errors import UserError
from platform.options import Options, home_of, open_readable
from platform.process_end import run_command
from platform.record.results import results_of
from platform.record.study_from_store import recorded_study
from platform.record.study_names import resolve_study
from platform.screen.status import render_status, status_of, trial_records
from platform.screen.store_overview import overview, render_overview
from platform.screen.trial_list import trial_table, trials_to_json
from storage.base import Store
from storage.environment import without_secrets

_DESCRIPTION = """\
Show the progress of a study: its driver, its finished trials, what runs now, and what remains; with --trials, also list
all its trials. Without STUDY, list the studies of the store. Changes nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("status", _DESCRIPTION)
    study = "a sweep or ablation that was started, such as cmg or table6 (default: list all of the store)"
    parser.add_argument("study", metavar="STUDY", nargs="?", help=study)
    listed = "list all trials that have begun: outcome, targets and swept values"
    parser.add_argument("--trials", action="store_true", help=listed)
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    store = open_readable(options)
    if arguments.study is None:
        if arguments.trials:
            raise UserError(
                "--trials: name the study whose trials are to be listed; without a name, studies are listed"
            )
        return _overview(store)
    study = recorded_study(store, resolve_study(store, arguments.study))
    records = trial_records(store, study.id)
    with study.plugins.active():
        status = status_of(store, study, records)
    trials = results_of(records.values()) if arguments.trials else ()
    target, written = study.targets[0].name, _as_written(options)

    def show(console: Console) -> None:
        render_status(status, target, console, options=written)
        if trials:
            console.print(trial_table(study, trials))

    value = status.to_json()
    return Answer({**value, "all_trials": trials_to_json(trials)} if arguments.trials else value, show)


def _as_written(options: Options) -> str:
    """Return the options with which another command finds the same store; none if it is the default one."""
    home = [] if options.home == home_of(None) else ["--home", str(options.home)]
    own_store = options.store == (options.home / "store").as_uri()
    store = [] if own_store else ["--store", without_secrets(options.store)]
    return "".join(f" {shlex.quote(word)}" for word in (*home, *store))


def _overview(store: Store) -> Answer:
    entries = overview(store)
    value = {"store": without_secrets(store.uri), "studies": [entry.to_json() for entry in entries]}
    if not entries:
        return Answer(
            value, f"{without_secrets(store.uri)} holds no study yet; set --home or --store to use another store"
        )
    return Answer(value, lambda console: render_overview(entries, console))


if __name__ == "__main__":
    run_command(main)
