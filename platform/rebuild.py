"""`python -m platform.rebuild [STUDY ...]`: makes MLflow, the Optuna study and the tables again from the records."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from platform.cli import add_tracking, answered, open_readable, places_of, preflight, record_parser
from platform.errors import UserError
from platform.events import TrialEvent, View
from platform.options import Options
from platform.record.study_from_store import all_named, provenance, recorded_study
from platform.record.tables import rewrite_tables
from platform.study.ablation import AblationStudy
from storage.base import Store
from storage.errors import LeaseHeldError
from storage.events import EventLog
from storage.lease import Lease
from storage.runs import RunStore
from storage.studies import load_calls

_DESCRIPTION = """\
Make MLflow, the Optuna study and the tables (trials.parquet, epochs.parquet) again from the store's records, for one
study or all. MLflow and Optuna get only what they lack, so running it twice changes nothing. No trial is run."""


@dataclass(frozen=True)
class Rebuilt:
    """What was mirrored of one study."""

    study: str
    trials: int
    events: int
    lack: str
    """What MLflow could not be given; empty if it has all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 something is lacking, 2 bad input and nothing was written, 130 on Ctrl-C."""
    made = record_parser("rebuild", description=_DESCRIPTION)
    made.add_argument("studies", metavar="STUDY", nargs="*", help="such as cmg or table6 (default: all of the store)")
    add_tracking(made)
    arguments = made.parse_args(argv)
    options = places_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    console = Console(stderr=options.as_json, markup=False, highlight=False, soft_wrap=True)
    readable = open_readable(options)
    studies = all_named(readable, arguments.studies)
    store = preflight(options)
    done = []
    for study in studies:
        done.append(rebuild(store, study, home=options.home, tracking=options.tracking))
        console.print(_told(done[-1]))
    return _conclude(done, options)


def rebuild(store: Store, study_id: str, *, home: Path, tracking: str) -> Rebuilt:
    """Mirror all records of a study into MLflow at `tracking` and, of a search, into the Optuna journal of `home`.

    Raises:
        UserError: A driver works on the study, or this version cannot read it.
        storage.errors.StoreError: The records are damaged or cannot be read.
    """
    from platform.mlflow_view.tracking import Tracking
    from platform.record.optuna_journal import (
        OptunaView,  # Optuna and MLflow take seconds to import: mistakes come first
    )

    rewrite_tables(store, study_id)  # needs no lease: tables of a study that is under way are replaced at its end
    try:
        with Lease(store, f"study-{study_id}"):
            study = recorded_study(store, study_id)
            runs = RunStore(store, cache=home / "scratch" / "cache")
            made_by = provenance(load_calls(store, study_id))
            mlflow = Tracking(study, home=home, uri=tracking, store=store.uri, stage_runs=runs, provenance=made_by)
            views: list[View] = [OptunaView(study, home=home), mlflow] if study.searches else [mlflow]
            events = list(in_time(map(TrialEvent.from_json, EventLog(store, study_id).read())))
            for event in events:
                for view in views:
                    view.see(event)
            for view in views:
                view.close()
            if isinstance(study, AblationStudy) and events and not mlflow.lack:
                _report(store, study, home=home, tracking=tracking)
    except LeaseHeldError as error:
        raise UserError(f"another driver works on study {study_id}, so only its tables were written: {error}") from None
    return Rebuilt(study_id, len({event.trial for event in events}), len(events), mlflow.lack)


def in_time(events: Iterable[TrialEvent]) -> Iterator[TrialEvent]:
    """Yield `events`, which are in order within each trial, in the order in which they happened, as views saw them.

    A clock that was set back in a trial does not disorder it.
    """
    latest: dict[str, float] = {}
    keyed = []
    for event in events:
        latest[event.trial] = max(event.time, latest.get(event.trial, event.time))
        keyed.append((latest[event.trial], event.trial, event.sequence, event))
    yield from (event for *_, event in sorted(keyed, key=lambda entry: entry[:3]))


def _report(store: Store, study: AblationStudy, *, home: Path, tracking: str) -> None:
    from platform.mlflow_view.attached_report import attach_report
    from platform.reporting.making import make_report

    page, _ = make_report(store, study.id, home / "reports" / study.id)
    attach_report(page, study, uri=tracking)


def _told(done: Rebuilt) -> str:
    lack = f"; MLflow lacks {done.lack}" if done.lack else ""
    return f"{done.study}: {done.trials} trials from {done.events} events{lack}"


def _conclude(done: Iterable[Rebuilt], options: Options) -> int:
    code = 1 if any(one.lack for one in done) else 0
    if options.as_json:
        studies = [{"study": one.study, "trials": one.trials, "events": one.events, "lack": one.lack} for one in done]
        sys.stdout.write(json.dumps({"studies": studies, "exit_code": code}) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
