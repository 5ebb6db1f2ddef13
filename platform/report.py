"""`python -m platform.report STUDY`: makes the report of an ablation from its records, without running anything."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from platform.cli import add_tracking, home_of, open_readable, record_parser, records_of
from platform.errors import UserError, nearest
from platform.study.registration import registered
from platform.tracking_uri import without_secrets
from storage import layout
from storage.base import Store
from storage.errors import StoreError

if TYPE_CHECKING:
    from platform.reporting.contents import Report

_DESCRIPTION = "Make the report of an ablation from its records: HTML, Markdown, LaTeX, CSV, Parquet and figures."


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 2 bad input, 1 the records cannot be read."""
    made = record_parser("report", description=_DESCRIPTION)
    made.add_argument("study", metavar="STUDY", help="name of an ablation that was run, such as table6")
    made.add_argument("--out", type=Path, metavar="FOLDER", help="where to write it (default: HOME/reports/STUDY)")
    add_tracking(made)
    arguments = made.parse_args(argv)
    console = Console(stderr=True, markup=False, highlight=False)
    # What was run may be named by its file, too.
    study = Path(arguments.study).stem if arguments.study.endswith(".yaml") else arguments.study
    out = arguments.out if arguments.out is not None else home_of(arguments.home) / "reports" / study
    try:
        path = write_report(open_readable(records_of(arguments)), study, out)
    except UserError as error:
        console.print(str(error), soft_wrap=True)
        return UserError.exit_code
    except StoreError as error:
        console.print(without_secrets(str(error)), soft_wrap=True)
        return 1
    if arguments.as_json:
        sys.stdout.write(json.dumps({"study": study, "report": str(path)}) + "\n")
    else:
        Console(markup=False, highlight=False).print(str(path), soft_wrap=True)
    return 0


def write_report(store: Store, study_id: str, folder: Path) -> Path:
    """Write the report of ablation `study_id` into `folder` and return its page; raises as `make_report`."""
    return make_report(store, study_id, folder)[0]


def make_report(store: Store, study_id: str, folder: Path) -> "tuple[Path, Report]":
    """Write the report of ablation `study_id` into `folder`; return its page, and what it says.

    Raises:
        UserError: There is no such study, it is no ablation, or `folder` cannot be written; says what would do.
        StoreError: The records are damaged or cannot be read.
    """
    _check(store, study_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    # pyarrow and scipy take seconds to import: mistakes come first
    from platform.analysis.collect import collect
    from platform.reporting.contents import build
    from platform.reporting.files import write_files

    with tempfile.TemporaryDirectory(prefix="mindsweep-report-") as cache:
        report = build(collect(store, study_id, cache=Path(cache)), store=without_secrets(store.uri))
        return write_files(report, folder), report


def _check(store: Store, study: str) -> None:
    """Raise `UserError` unless the store holds `study` and it is an ablation."""
    try:
        known = store.exists(layout.study(study))
    except ValueError:
        known = False
    if not known:
        found = {key.removeprefix(layout.studies()).partition("/")[0] for key in store.list(layout.studies())}
        names = nearest(study, found) if found else "it holds none yet; run one with python -m platform.ablate FILE"
        raise UserError(f"{without_secrets(store.uri)} holds no study {study}; {names}")
    try:
        registered(store, study)
    except ValueError as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
