"""`python -m platform.sweep FILE`: run the search space in FILE, or continue it where it stopped."""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from platform.cli import answered, open_readable, options_of, parser, preflight, settings_of
from platform.options import Options
from platform.run.admission import refuse_here
from platform.screen.plan import plan_json, render_plan
from platform.study.attempts import find_attempt
from platform.study.plan import make_plan
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage.base import Store

_DESCRIPTION = "Run the search space in FILE, or continue it where it stopped: the same command does both."


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 2 bad input and nothing was started, 1 failed later, 130 on Ctrl-C."""
    made = parser("sweep", description=_DESCRIPTION, file_help="a search space, such as search_spaces/cmg.yaml")
    arguments = made.parse_args(argv)
    options = options_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    study = load_study(arguments.file, settings_of(arguments))
    store = open_readable(options) if options.dry_run else preflight(options)
    study = find_attempt(study, store, new=options.fresh)
    return _dry_run(study, store, options) if options.dry_run else _run(study, options)


def _dry_run(study: Study, store: Store, options: Options) -> int:
    plan = make_plan(study, store)
    if plan.ended < plan.trials:
        refuse_here(study, options)
    if options.as_json:
        sys.stdout.write(json.dumps(plan_json(plan, study)) + "\n")
    else:
        render_plan(plan, study, console=Console(highlight=False, markup=False))
    return 0


def _run(study: Study, options: Options) -> int:
    from platform.launch import launch  # Ray, Optuna and MLflow take seconds to import: mistakes come first

    summary = launch(study, options)
    if summary.interrupted:
        Console(stderr=True).print("interrupted in order; the same command goes on from here", markup=False)
    if options.as_json:
        sys.stdout.write(json.dumps(summary.to_json()) + "\n")
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main())
