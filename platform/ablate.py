"""`python -m platform.ablate FILE`: run the ablation in FILE, or continue it where it stopped."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.table import Table

from platform.cli import (
    Answer,
    VerbParser,
    add_study_file,
    add_trust,
    options_of,
    positive,
    run_verb,
    verb_parser,
)
from platform.errors import UserError
from platform.events import Finished, TrialEvent
from platform.field_answer import field_answer
from platform.follow_up_answer import apart_answer
from platform.options import Options, open_readable, open_writable
from platform.process_end import run_command
from platform.run_answers import study_answer
from platform.screen.units import duration
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.attempts import find_attempt
from platform.study.field_help import ablation_keys
from platform.study.plan import make_plan
from platform.study.registration import Amendment, amend
from storage import layout
from storage.base import Store
from storage.errors import LeaseHeldError
from storage.events import EventLog
from storage.lease import Lease

_DESCRIPTION = "Run the ablation in FILE, or continue it where it stopped: the same command does both."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("ablate", _DESCRIPTION)
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="an ablation, such as ablations/table6.yaml")
    parser.add_argument("--list", action="store_true", help=f"list the ablations in {ABLATIONS}/ with their cost")
    parser.add_argument(
        "--fork", action="store_true", help="run a changed design as a new study; the registered one stays as it is"
    )
    more_seeds_help = "add N seeds to a finished ablation and reuse all results; the amendment is recorded"
    parser.add_argument("--add-seeds", type=positive, metavar="N", help=more_seeds_help)
    effect = "print the number of seeds that this effect needs, estimated from the existing trials; starts nothing"
    parser.add_argument("--power", metavar="METRIC=EFFECT", help=effect)
    apart = "take the best point of a sweep apart: one field at a time at its default, and the path from there to it"
    parser.add_argument("--from", metavar="STUDY", dest="sweep", help=apart)
    parser.add_argument(
        "--target", metavar="METRIC", help="with --from: of several targets, the one that orders the points"
    )
    add_trust(parser)
    add_study_file(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    if (answer := field_answer(arguments, ablation_keys)) is not None:
        return answer
    if arguments.sweep is not None:
        _refuse_with_sweep(arguments)
        return apart_answer(arguments)
    if arguments.target is not None:
        raise UserError("--target: only with --from; the metrics of a file are its `primary`")
    options = options_of(arguments)
    if arguments.list:
        return _list(options)
    if arguments.file is None:
        raise UserError(f"FILE is missing; --list shows the ablations in {ABLATIONS}/")
    study = load_ablation(arguments.file, arguments.settings)
    store = open_readable(options) if options.dry_run else open_writable(options)
    with study.plugins.active():
        study = find_attempt(study, store, new=arguments.fork)
        if arguments.power is not None:
            return _power(study, store, arguments.power, options)
        if arguments.add_seeds is not None:
            study = with_more_seeds(study, store, more=arguments.add_seeds, dry_run=options.dry_run)
        return study_answer(replace(study, notes=(*study.notes, *_wide_margins(study, store, options))), store, options)


def _wide_margins(study: AblationStudy, store: Store, options: Options) -> tuple[str, ...]:
    """Return notes on margins that are not smaller than an effect which another ablation in the store has shown."""
    if not study.design.margins:
        return ()
    from platform.analysis.known_effects import effects_in_store, wide_margins

    cache = options.home / "scratch" / "cache"
    known = effects_in_store(store, study.design.margins, cache=cache, besides=study.id)
    return tuple(wide_margins(study.design.margins, known))


def _refuse_with_sweep(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be combined with `--from`."""
    others = {
        "FILE": arguments.file,
        "--list": arguments.list,
        "--add-seeds": arguments.add_seeds,
        "--power": arguments.power,
    }
    for name, value in others.items():
        if value not in (None, False):
            raise UserError(
                f"--from {arguments.sweep}: cannot be combined with {name}; the file that --from writes into "
                "HOME/ablations can be run with all options"
            )


def with_more_seeds(study: AblationStudy, store: Store, *, more: int, dry_run: bool) -> AblationStudy:
    """Return `study` with `more` seeds, and record the amendment unless it is a dry run.

    Raises:
        UserError: The study is not finished, or another driver works on it.
    """
    events = map(TrialEvent.from_json, EventLog(store, study.id).ends())
    ended_trials = {event.trial for event in events if isinstance(event, Finished)}
    open_trials = [spec.trial for spec in study.specs if spec.trial not in ended_trials]
    if open_trials:
        unfinished = f"{len(open_trials)} of {len(study.specs)} trials of {study.id} are not finished"
        raise UserError(f"--add-seeds: {unfinished}; first run the same command without --add-seeds")
    amendment = Amendment(study.repeats, study.repeats + more, time.time())
    if not dry_run:
        try:
            with Lease(store, f"study-{study.id}"):
                amend(store, study.id, amendment)
        except LeaseHeldError as error:
            raise UserError(f"another driver works on study {study.id}: {error}") from None
    return replace(study, repeats=amendment.seeds, amendments=(*study.amendments, amendment))


def _power(study: AblationStudy, store: Store, stated: str, options: Options) -> Answer:
    from platform.analysis.collect import collect_data_sets
    from platform.analysis.power import power_table

    if not store.exists(layout.study(study.id)):
        raise UserError(f"--power: the store has no trials of {study.id} yet; run it first, with a few seeds")
    results = collect_data_sets(store, study.id, cache=options.home / "scratch" / "cache")
    table = power_table(results, stated)
    level = f"alpha {study.design.alpha:g} after Holm's adjustment"
    note = f"seeds for a power of 0.8 at {level}; cautious: with the upper limit of the spread in a small pilot"
    return Answer({"study": study.id, "power": _rows(table)}, lambda console: console.print(table, note, sep="\n"))


def _rows(table: Table) -> list[dict[str, str]]:
    """Return the cells of a table, row by row."""
    headers = [str(column.header) for column in table.columns]
    names = [header.replace(" ", "_") if header else "explanation" for header in headers]
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _list(options: Options) -> Answer:
    """List the project's own ablations, each with the cost of running it alone."""
    store = open_readable(options)
    table = Table("file", "conditions", "subjects", "seeds", "trials", "runs", "compute", "saved", box=box.SIMPLE)
    table.columns[0].no_wrap = True
    ablations = []
    for path in sorted(ABLATIONS.glob("*.yaml")):
        study = load_ablation(path)
        with study.plugins.active():
            plan = make_plan(replace(study, attempt=1), store)
        subjects = sum(len(part.subjects) for part in study.design.parts.values())
        counts = (len(study.design.names), subjects, study.repeats, plan.trials)
        distinct = sum(stage.runs for stage in plan.stages)
        costs = (duration(plan.seconds_shared), duration(plan.seconds_saved))
        table.add_row(path.stem, *map(str, counts), str(distinct), *costs)
        ablation = {"file": str(path), "trials": plan.trials, "stage_runs": distinct, "seconds": plan.seconds_shared}
        ablations.append(ablation)
    note = (
        f"ablations in {ABLATIONS}/: distinct stage runs, compute with an empty store, and what sharing saves;\n"
        "--dry-run FILE shows which stage runs the store already holds"
    )
    return Answer({"ablations": ablations}, lambda console: console.print(table, note, sep="\n"))


if __name__ == "__main__":
    run_command(main)
