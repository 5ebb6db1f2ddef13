"""`python -m platform.status STUDY`: shows how far a study is, from its records alone, while it runs or later."""

import argparse
import sys
from collections.abc import Sequence

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.options import open_readable
from platform.record.study_from_store import recorded_study
from platform.record.study_names import resolve_study
from platform.screen.status import render_standing, standing

_DESCRIPTION = "Show how far a study is: who works on it, what is done, what runs now, what is left. Changes nothing."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("status", _DESCRIPTION)
    parser.add_argument("study", metavar="STUDY", help="a sweep or ablation that was begun, such as cmg or table6")
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    store = open_readable(options_of(arguments))
    study = recorded_study(store, resolve_study(store, arguments.study))
    stands = standing(store, study)
    return Answer(stands.to_json(), lambda console: render_standing(stands, study.targets[0].name, console))


if __name__ == "__main__":
    sys.exit(main())
