"""`python -m platform.status STUDY`: shows how far a study is, from its records alone, while it runs or later."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from platform.cli import answered, open_readable, record_parser, records_of
from platform.options import Options
from platform.record.study_from_store import named, recorded_study
from platform.screen.status import render_standing, standing

_DESCRIPTION = "Show how far a study is: who works on it, what is done, what runs now, what is left. Changes nothing."

_WIDTH = 140
"""Columns where there is no terminal to ask."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the records cannot be read, 2 there is no such study, 130 on Ctrl-C."""
    made = record_parser("status", description=_DESCRIPTION)
    made.add_argument("study", metavar="STUDY", help="a sweep or ablation that was begun, such as cmg or table6")
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    store = open_readable(options)
    study = recorded_study(store, named(store, arguments.study))
    stands = standing(store, study)
    if options.as_json:
        sys.stdout.write(json.dumps(stands.to_json()) + "\n")
    else:
        console = Console(markup=False, highlight=False)
        if not console.is_terminal:
            console.width = _WIDTH
        render_standing(stands, study.targets[0].name, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
