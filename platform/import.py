"""`python -m platform.import BUNDLE`: takes a study that `platform.export` wrote into a store, if it is unchanged."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from platform.cli import answered, open_readable, record_parser, records_of
from platform.options import Options
from platform.tracking_uri import without_secrets
from storage.uri import check_store

_DESCRIPTION = """\
Check every byte of a bundle and take its study into a store, where report, rebuild and reproduce then find it. A bundle
that was changed, or holds anything else, is refused as a whole."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the store failed, 2 refused and nothing was written, 130 on Ctrl-C."""
    made = record_parser("import", description=_DESCRIPTION)
    made.add_argument("bundle", metavar="BUNDLE", type=Path, help="a folder that platform.export wrote")
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    store = open_readable(options)
    from platform.bundle.reading import checked_bundle, take_in

    bundle = checked_bundle(arguments.bundle)
    check_store(store)
    with tempfile.TemporaryDirectory(prefix="mindsweep-import-") as cache:
        new = take_in(bundle, store, cache=Path(cache))
    place = without_secrets(store.uri)
    if options.as_json:
        sys.stdout.write(json.dumps({"study": bundle.study, "store": place, "new": new}) + "\n")
    else:
        said = f"{bundle.study} is in {place}: {new} of {len(bundle.keys)} objects were new"
        Console(markup=False, highlight=False, soft_wrap=True).print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
