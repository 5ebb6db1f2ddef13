"""`python -m platform.compact [STUDY ...]`: writes the records of studies as Parquet tables, beside their events."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from platform.cli import Options, answered, open_readable, record_parser, records_of
from platform.events import TrialEvent
from platform.record.study_from_store import all_named
from platform.record.tables import EPOCHS, TRIALS, write_tables
from storage import layout
from storage.base import Store
from storage.events import EventLog

_DESCRIPTION = """\
Write the records of one study or all as tables (trials.parquet, epochs.parquet) that pandas, DuckDB and pyarrow read
in one line. A study does so itself at its end; this is for one that is under way, or was run before there were tables.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the records cannot be read or written, 2 bad input, 130 on Ctrl-C."""
    made = record_parser("compact", description=_DESCRIPTION)
    made.add_argument("studies", metavar="STUDY", nargs="*", help="such as cmg or table6 (default: all of the store)")
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    store = open_readable(options)
    studies = all_named(store, arguments.studies)
    tables = [table for study in studies for table in compact(store, study)]
    if options.as_json:
        sys.stdout.write(json.dumps({"tables": tables}) + "\n")
    else:
        Console(markup=False, highlight=False, soft_wrap=True).print("\n".join(tables))
    return 0


def compact(store: Store, study: str) -> tuple[str, ...]:
    """Write the tables of `study` and return their URIs. Raises `StoreError`, as for a damaged record."""
    write_tables(store, study, map(TrialEvent.from_json, EventLog(store, study).read()))
    return tuple(f"{store.uri}/{layout.record(study, name)}" for name in (TRIALS, EPOCHS))


if __name__ == "__main__":
    sys.exit(main())
