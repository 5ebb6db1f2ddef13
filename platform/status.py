"""`python -m platform.status STUDY`: shows how far a study is, from its records alone, while it runs or later."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from platform.cli import add_store, open_readable, records_of
from platform.errors import UserError
from platform.running.recorded import named, recorded_study
from platform.sweep import INTERRUPTED, failed
from platform.views.status_view import render_standing, standing
from storage.errors import StoreError

_DESCRIPTION = "Show how far a study is: who works on it, what is done, what runs now, what is left. Changes nothing."

_WIDTH = 140
"""Columns where there is no terminal to ask."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the records cannot be read, 2 there is no such study, 130 on Ctrl-C."""
    made = argparse.ArgumentParser(prog="python -m platform.status", description=_DESCRIPTION, allow_abbrev=False)
    made.add_argument("study", metavar="STUDY", help="a sweep or ablation that was begun, such as cmg or table6")
    add_store(made)
    made.add_argument("--json", action="store_true", dest="as_json", help="one JSON object on stdout")
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    try:
        store = open_readable(options)
        study = recorded_study(store, named(store, arguments.study))
        stands = standing(store, study)
    except UserError as error:
        return failed(error, UserError.exit_code, options)
    except StoreError as error:
        return failed(error, 1, options)
    except KeyboardInterrupt:
        return INTERRUPTED
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
