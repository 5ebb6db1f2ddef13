"""`python -m platform.compact [STUDY ...]`: writes the records of studies as Parquet tables, beside their events."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from platform.cli import add_store, open_readable, records_of
from platform.errors import UserError
from platform.events import TrialEvent
from platform.running.recorded import named
from platform.sweep import INTERRUPTED, failed
from platform.views.record_tables import EPOCHS, TRIALS, RecordTables
from platform.views.tracking_uri import without_secrets
from storage import layout
from storage.base import Store
from storage.errors import StoreError
from storage.events import EventLog
from storage.studies import list_studies

_DESCRIPTION = """\
Write the records of one study or all as tables (trials.parquet, epochs.parquet) that pandas, DuckDB and pyarrow read
in one line. A study does so itself at its end; this is for one that is under way, or was run before there were tables.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the records cannot be read or written, 2 bad input, 130 on Ctrl-C."""
    made = argparse.ArgumentParser(prog="python -m platform.compact", description=_DESCRIPTION, allow_abbrev=False)
    made.add_argument("studies", metavar="STUDY", nargs="*", help="such as cmg or table6 (default: all of the store)")
    add_store(made)
    made.add_argument("--json", action="store_true", dest="as_json", help="one JSON object on stdout at the end")
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    try:
        store = open_readable(options)
        studies = [named(store, name) for name in arguments.studies] or list(list_studies(store))
        if not studies:
            raise UserError(f"{without_secrets(store.uri)} holds no study; --home or --store say where to look")
        tables = [table for study in studies for table in compact(store, study)]
    except UserError as error:
        return failed(error, UserError.exit_code, options)
    except StoreError as error:
        return failed(error, 1, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.as_json:
        sys.stdout.write(json.dumps({"tables": tables}) + "\n")
    else:
        Console(markup=False, highlight=False, soft_wrap=True).print("\n".join(tables))
    return 0


def compact(store: Store, study: str) -> tuple[str, ...]:
    """Write the tables of `study` and return their URIs. Raises `StoreError`, as for a damaged record."""
    tables = RecordTables(store, study)
    for event in map(TrialEvent.from_json, EventLog(store, study).read()):
        tables.see(event)
    tables.write()
    return tuple(f"{store.uri}/{layout.record(study, name)}" for name in (TRIALS, EPOCHS))


if __name__ == "__main__":
    sys.exit(main())
