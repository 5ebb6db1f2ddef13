"""`python -m platform.ablate FILE`: run the ablation in FILE, or continue it where it stopped."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.cli import add_running, answered, open_readable, options_of, positive, preflight
from platform.errors import StudyError, UserError
from platform.options import Options
from platform.run.admission import refuse_here
from platform.screen.ablation_plan import ablation_json, plan_ablation, render_ablation
from platform.screen.plan import duration
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.attempts import find_attempt
from platform.study.registration import Amendment, amend
from platform.tracking_uri import without_secrets
from storage import layout
from storage.base import Store
from storage.errors import LeaseHeldError
from storage.events import EventLog
from storage.lease import Lease

_DESCRIPTION = "Run the ablation in FILE, or continue it where it stopped: the same command does both."


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 2 bad input and nothing was started, 1 failed later, 130 on Ctrl-C."""
    made = _parser()
    arguments = made.parse_args(argv)
    options = options_of(arguments)
    if arguments.file is None and not arguments.list:
        made.error("FILE is missing; --list shows the project's own")
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    if arguments.list:
        return _list(options)
    study = load_ablation(arguments.file, arguments.settings)
    store = open_readable(options) if options.dry_run else preflight(options)
    study = find_attempt(study, store, new=arguments.fork)
    if arguments.power is not None:
        return _power(study, store, arguments.power, options)
    if arguments.add_seeds is not None:
        study = prolonged(study, store, more=arguments.add_seeds, dry_run=options.dry_run)
    return _dry_run(study, store, options) if options.dry_run else _run(study, store, options)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m platform.ablate", description=_DESCRIPTION, allow_abbrev=False)
    made.add_argument("file", metavar="FILE", type=Path, nargs="?", help="an ablation, such as ablations/table6.yaml")
    made.add_argument("--list", action="store_true", help=f"show those of {ABLATIONS}/ with what they would cost")
    made.add_argument("--fork", action="store_true", help="begin anew under the next number, beside what is registered")
    more = "give a finished ablation N more seeds, re-using all; stays on record as an amendment"
    made.add_argument("--add-seeds", type=positive, metavar="N", help=more)
    effect = "tell how many seeds an effect of that size needs, by the trials there are; starts nothing"
    made.add_argument("--power", metavar="METRIC=EFFECT", help=effect)
    add_running(made)
    made.set_defaults(fresh=False)
    return made


def prolonged(study: AblationStudy, store: Store, *, more: int, dry_run: bool) -> AblationStudy:
    """Return `study` with `more` seeds, put on record as an amendment unless it is a dry run.

    Raises:
        UserError: It is not finished, or another driver works on it.
    """
    ended = {event["trial"] for event in EventLog(store, study.id).read() if event["kind"] == "finished"}
    open_trials = [spec.trial for spec in study.specs if spec.trial not in ended]
    if open_trials:
        left = f"{len(open_trials)} of {len(study.specs)} trials of {study.id} are not finished"
        raise UserError(f"--add-seeds: {left}; finish it first, with the same command without --add-seeds")
    amendment = Amendment(study.repeats, study.repeats + more, time.time())
    if not dry_run:
        try:
            with Lease(store, f"study-{study.id}"):
                amend(store, study.id, amendment)
        except LeaseHeldError as error:
            raise UserError(f"another driver works on study {study.id}: {error}") from None
    return replace(study, repeats=amendment.seeds, amendments=(*study.amendments, amendment))


def _power(study: AblationStudy, store: Store, stated: str, options: Options) -> int:
    from platform.analysis.collect import collect
    from platform.analysis.power import power_table

    if not store.exists(layout.study(study.id)):
        raise UserError(f"--power: there are no trials of {study.id} yet to judge by; run it first, with a few seeds")
    result = collect(store, study.id, cache=options.home / "scratch" / "cache")
    console = Console(highlight=False, markup=False)
    console.print(power_table(result, stated))
    console.print(
        f"seeds for a power of 0.8 at alpha {study.design.alpha:g} after Holm; cautious allows for a small pilot"
    )
    return 0


def _dry_run(study: AblationStudy, store: Store, options: Options) -> int:
    plan = plan_ablation(study, store)
    if plan.ended < plan.trials:
        refuse_here(study, options)
    if options.as_json:
        sys.stdout.write(json.dumps(ablation_json(plan, study)) + "\n")
    else:
        render_ablation(plan, study, console=Console(highlight=False, markup=False))
    return 0


def _run(study: AblationStudy, store: Store, options: Options) -> int:
    from platform.launch import launch  # Ray, Optuna and MLflow take seconds to import: mistakes come first

    console = Console(stderr=True, markup=False, highlight=False)
    for note in study.notes:
        console.print(note, soft_wrap=True)
    try:
        summary = launch(study, options)
    except StudyError:
        _report(study, store, options)  # on what there is
        raise
    if summary.interrupted:
        console.print("interrupted in order; the same command goes on from here")
    reported = _report(study, store, options)
    if options.as_json:
        sys.stdout.write(json.dumps({**summary.to_json(), **reported}) + "\n")
    return summary.exit_code if "report" in reported else max(summary.exit_code, StudyError.exit_code)


def _report(study: AblationStudy, store: Store, options: Options) -> Mapping[str, Any]:
    """Write the report, tell its answers, and make it artifacts of the study's run; return what `--json` says of it."""
    from platform.mlflow_view.attached_report import attach_report
    from platform.reporting.making import make_report

    console = Console(stderr=options.as_json, markup=False, highlight=False, soft_wrap=True)
    try:
        page, report = make_report(store, study.id, options.home / "reports" / study.id)
    except Exception as error:  # the results are in the store: what is wrong with their report must not hide them
        why = without_secrets(f"{type(error).__name__}: {error}")
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(
            f"the results are stored, but their report could not be made: {why}\n"
            f"make it again: python -m platform.report {study.id}"
        )
        return {"report_error": why}
    answers = [text for _, text in report.answers]
    console.print("\n".join([*report.alerts, *(f"- {text}" for text in answers), f"report: {page}"]))
    attach_report(page, study, uri=options.tracking)
    return {"report": str(page), "alerts": list(report.alerts), "answers": answers}


def _list(options: Options) -> int:
    """Show the project's own ablations, each as if it were run alone."""
    store = open_readable(options)
    table = Table("file", "conditions", "subjects", "seeds", "trials", "runs", "compute", "saved", box=box.SIMPLE)
    table.columns[0].no_wrap = True
    rows = []
    for path in sorted(ABLATIONS.glob("*.yaml")):
        study = load_ablation(path)
        plan = plan_ablation(replace(study, attempt=1), store)
        counts = (len(study.design.names), len(study.design.subjects), study.repeats, plan.trials)
        distinct = sum(use.distinct for use in plan.stages)
        costs = (duration(plan.seconds_shared), duration(plan.saved))
        table.add_row(path.stem, *map(str, counts), str(distinct), *costs)
        rows.append({"file": str(path), "trials": plan.trials, "stage_runs": distinct, "seconds": plan.seconds_shared})
    if options.as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return 0
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"those of {ABLATIONS}/: distinct stage runs and compute from nothing, and what sharing saves;")
    console.print("--dry-run FILE tells what the store already holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
