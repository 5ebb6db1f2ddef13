"""`python -m platform.resume STUDY`: continues a study with its recorded file and settings."""

import argparse
from collections.abc import Sequence

from rich.console import Console

from platform.cli import Answer, VerbParser, add_running, add_trust, options_of, run_verb, verb_parser
from platform.options import open_readable, open_writable
from platform.process_end import run_command
from platform.record.runnable_study import file_note, runnable_study
from platform.record.stored_plugins import trusted_plugins
from platform.record.study_names import resolve_study
from platform.run_answers import study_answer

_DESCRIPTION = """\
Continue a sweep or an ablation where it stopped. The store holds the text of its file, the values of --set, the number
of trials and the seed, so none of them is given again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("resume", _DESCRIPTION)
    parser.add_argument("study", metavar="STUDY", help="a sweep or ablation that was started, such as cmg or table6")
    add_trust(parser)
    add_running(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    store = open_readable(options)
    study_id = resolve_study(store, arguments.study)
    note = file_note(store, study_id)
    if note is not None:
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(note)
    plugins = trusted_plugins(store, study_id, trusted=arguments.trusted)
    with plugins.active():
        study = runnable_study(store, study_id, plugins)
        return study_answer(study, store if options.dry_run else open_writable(options), options)


if __name__ == "__main__":
    run_command(main)
