"""`python -m platform.rebuild [STUDY ...]`: writes MLflow, the Optuna study and the tables again from the records."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.cli import Answer, VerbParser, add_store, add_tracking, console, options_of, run_verb, verb_parser
from platform.errors import UserError
from platform.events import TrialEvent, View
from platform.options import open_readable, open_writable
from platform.process_end import run_command
from platform.record.stored_plugins import named_plugins
from platform.record.study_from_store import recorded_study
from platform.record.study_names import resolve_studies
from platform.record.tables import rewrite_tables
from platform.study.study import Study
from storage.base import Store
from storage.errors import LeaseHeldError
from storage.events import EventLog
from storage.lease import Lease

_DESCRIPTION = """\
Write MLflow, the Optuna study and the tables (trials.parquet, epochs.parquet) again from the records of the store, for
some studies or all. MLflow and Optuna receive only missing entries, so running it twice changes nothing. No trial is
run."""


@dataclass(frozen=True)
class Rebuilt:
    """The mirrored records of one study."""

    study: str
    trials: int
    events: int
    missing: str
    """The entries that could not be written to MLflow; empty if it has all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("rebuild", _DESCRIPTION)
    parser.add_argument("studies", metavar="STUDY", nargs="*", help="such as cmg or table6 (default: all of the store)")
    add_store(parser)
    add_tracking(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    studies = resolve_studies(open_readable(options), arguments.studies)
    store = open_writable(options)
    rebuilt = []
    for study in studies:
        rebuilt.append(rebuild(store, study, home=options.home, tracking=options.tracking))
        console().print(_line(rebuilt[-1]), soft_wrap=True)
    return Answer(
        {"studies": [_to_json(entry) for entry in rebuilt]}, exit_code=int(any(entry.missing for entry in rebuilt))
    )


def rebuild(store: Store, study_id: str, *, home: Path, tracking: str) -> Rebuilt:
    """Mirror all records of a study into MLflow at `tracking` and, for a sweep, into the Optuna journal of `home`.

    Raises:
        UserError: A driver works on the study, or this version cannot read it.
        storage.errors.StoreError: The records are damaged or cannot be read.
    """
    from platform.mlflow_view.tracking import recorded_tracking
    from platform.record.optuna_journal import OptunaView

    rewrite_tables(store, study_id)  # needs no lease: the tables of a running study are replaced at its end
    try:
        with Lease(store, f"study-{study_id}"), named_plugins(store, study_id).active():
            study = recorded_study(store, study_id)
            mlflow = recorded_tracking(study, store, home=home, uri=tracking)
            views: list[View] = [OptunaView(study, home=home), mlflow] if study.has_optuna_journal else [mlflow]
            events = list(in_time(map(TrialEvent.from_json, EventLog(store, study_id).read())))
            for event in events:
                for view in views:
                    view.see(event)
            for view in views:
                view.close()
            if events and not mlflow.missing:
                _report(store, study, home=home, tracking=tracking)
    except LeaseHeldError as error:
        raise UserError(f"another driver works on study {study_id}, so only its tables were written: {error}") from None
    return Rebuilt(study_id, len({event.trial for event in events}), len(events), mlflow.missing)


def in_time(events: Iterable[TrialEvent]) -> Iterator[TrialEvent]:
    """Yield `events`, which are in order within each trial, in the order of their times, as views received them.

    The events of a trial stay in order even if a clock was set back.
    """
    latest: dict[str, float] = {}
    keyed = []
    for event in events:
        latest[event.trial] = max(event.time, latest.get(event.trial, event.time))
        keyed.append((latest[event.trial], event.trial, event.sequence, event))
    yield from (event for *_, event in sorted(keyed, key=lambda entry: entry[:3]))


def _report(store: Store, study: Study, *, home: Path, tracking: str) -> None:
    from platform.mlflow_view.attached_report import attach_report
    from platform.reporting.making import make_report

    page, _ = make_report(store, study.id, home / "reports" / study.id)
    attach_report(page, study, uri=tracking)


def _line(rebuilt: Rebuilt) -> str:
    missing = f"; MLflow lacks {rebuilt.missing}" if rebuilt.missing else ""
    return f"{rebuilt.study}: {rebuilt.trials} trials from {rebuilt.events} events{missing}"


def _to_json(rebuilt: Rebuilt) -> dict[str, Any]:
    counts = {"study": rebuilt.study, "trials": rebuilt.trials, "events": rebuilt.events}
    return {**counts, "lack": rebuilt.missing}  # the key of earlier versions


if __name__ == "__main__":
    run_command(main)
