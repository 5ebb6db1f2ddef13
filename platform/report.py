"""`python -m platform.report STUDY`: makes the report of an ablation from its records, without running anything."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from platform.cli import add_tracking, home_of, open_readable, record_parser, records_of
from platform.errors import UserError
from platform.reporting.making import write_report
from platform.tracking_uri import without_secrets
from storage.errors import StoreError

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


if __name__ == "__main__":
    sys.exit(main())
