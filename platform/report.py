"""`python -m platform.report STUDY`: writes the report of a sweep or an ablation from its records; no trial is run."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.options import open_readable
from platform.process_end import run_command
from platform.record.study_names import resolve_study
from platform.reporting.making import make_report, report_json

_DESCRIPTION = "Write the report of a sweep or an ablation from its records: HTML, Markdown, LaTeX, figures, data."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("report", _DESCRIPTION)
    parser.add_argument("study", metavar="STUDY", help="a sweep or an ablation that was started, such as cmg")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for the report (default: HOME/reports/STUDY)"
    )
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    store = open_readable(options)
    study = resolve_study(store, arguments.study)
    folder = arguments.out if arguments.out is not None else options.home / "reports" / study
    page, report = make_report(store, study, folder)
    return Answer({"study": study, "report": str(page), **report_json(report)}, str(page))


if __name__ == "__main__":
    run_command(main)
