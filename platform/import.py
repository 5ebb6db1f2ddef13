"""`python -m platform.import BUNDLE`: adds a study that `platform.export` wrote to a store."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.options import open_readable
from platform.process_end import run_command
from storage.environment import without_secrets
from storage.uri import check_store

_DESCRIPTION = """\
Check every byte of a bundle and add its study to a store, where report, rebuild and reproduce then find it. A bundle
that was changed, or holds any other file, is refused as a whole."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("import", _DESCRIPTION)
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a folder that platform.export wrote")
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    store = open_readable(options_of(arguments))
    from platform.bundle.reading import checked_bundle, take_in

    bundle = checked_bundle(arguments.bundle)
    check_store(store)
    with tempfile.TemporaryDirectory(prefix="mindsweep-import-") as cache:
        new = take_in(bundle, store, cache=Path(cache))
    uri = without_secrets(store.uri)
    text = f"{bundle.study} is in {uri}: {new} of {len(bundle.keys)} objects were new"
    return Answer({"study": bundle.study, "store": uri, "new": new}, text)


if __name__ == "__main__":
    run_command(main)
