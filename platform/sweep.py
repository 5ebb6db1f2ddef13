"""`python -m platform.sweep FILE`: run the search space in FILE, or continue it where it stopped."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from platform.cli import Answer, VerbParser, add_running, add_settings, options_of, run_verb, settings_of, verb_parser
from platform.options import open_readable, open_writable
from platform.run_answers import study_answer
from platform.study.attempts import find_attempt
from platform.study.sweep_file import load_study

_DESCRIPTION = "Run the search space in FILE, or continue it where it stopped: the same command does both."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("sweep", _DESCRIPTION)
    parser.add_argument("file", metavar="FILE", type=Path, help="a search space, such as search_spaces/cmg.yaml")
    parser.add_argument("--trials", metavar="N", help="points to try; short for --set trials=N")
    parser.add_argument("--seed", metavar="N", help="seed of the study; short for --set seed=N")
    parser.add_argument("--fresh", action="store_true", help="begin anew instead of continuing an earlier run")
    add_settings(parser)
    add_running(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    study = load_study(arguments.file, settings_of(arguments))
    store = open_readable(options) if options.dry_run else open_writable(options)
    return study_answer(find_attempt(study, store, new=options.fresh), store, options)


if __name__ == "__main__":
    sys.exit(main())
