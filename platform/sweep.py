"""`python -m platform.sweep FILE`: run the search space in FILE, or continue it where it stopped."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from platform.cli import (
    Answer,
    VerbParser,
    add_study_file,
    options_of,
    run_verb,
    settings_of,
    verb_parser,
)
from platform.errors import UserError
from platform.field_answer import field_answer
from platform.options import open_readable, open_writable
from platform.process_end import run_command
from platform.record.warm_start import with_earlier_results, with_source_named
from platform.run_answers import study_answer
from platform.study.attempts import find_attempt
from platform.study.field_help import sweep_keys
from platform.study.sweep_file import SEARCH_SPACES, load_study

_DESCRIPTION = "Run the search space in FILE, or continue it where it stopped: the same command does both."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("sweep", _DESCRIPTION)
    file = "a search space, such as search_spaces/cmg.yaml"
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help=file)
    points = "number of points to try, each with `repeats` training seeds; short for --set trials=N"
    parser.add_argument("--points", metavar="N", dest="trials", help=points)
    parser.add_argument("--trials", help=argparse.SUPPRESS)
    parser.add_argument("--seed", metavar="N", help="seed of the study; short for --set seed=N")
    attempt = "run the study again as ID.2 and so on, and keep earlier attempts; stored stage runs are still reused"
    parser.add_argument("--new-attempt", action="store_true", help=attempt)
    parser.add_argument("--fresh", action="store_true", dest="new_attempt", help=argparse.SUPPRESS)
    add_study_file(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    if (answer := field_answer(arguments, sweep_keys)) is not None:
        return answer
    if arguments.file is None:
        raise UserError(f"FILE is missing, such as {SEARCH_SPACES}/cmg.yaml")
    options = options_of(arguments)
    study = load_study(arguments.file, settings_of(arguments))
    store = open_readable(options) if options.dry_run else open_writable(options)
    with study.plugins.active():
        study = find_attempt(with_source_named(study, store), store, new=options.new_attempt)
        return study_answer(with_earlier_results(study, store), store, options)


if __name__ == "__main__":
    run_command(main)
