"""`python -m platform.reproduce STUDY|TRIAL`: runs recorded trials again and compares the results."""

import argparse
import pdb
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from platform.cli import (
    Answer,
    VerbParser,
    add_store,
    add_trust,
    options_of,
    positive,
    quiet_loading,
    run_verb,
    verb_parser,
)
from platform.errors import UserError, nearest
from platform.options import Options, open_readable
from platform.process_end import run_command
from platform.record.stored_plugins import trusted_plugins
from platform.record.study_names import resolve_trial
from platform.reproduction.comparing import Tolerance
from platform.reproduction.debugging import debug_heading, debug_runs, own_frames, plan_debugging, traceback_text
from platform.reproduction.repeating import REPRODUCED, RepeatOutcome, Repetition, RepetitionStores
from platform.reproduction.restoring import Restoration, restore_trial
from platform.reproduction.selection import RecordedTrial, TrialSelection, choose_trials, recorded_trial
from platform.screen.units import duration
from storage.base import Store
from storage.local import LocalStore
from storage.runs import RunStore
from trainables.graph import StageRun

_DESCRIPTION = """\
Check what can be restored of a recorded trial (code, lock, data, config, seeds, hardware), repeat its stage runs in a
separate store, and compare the results: bit-equal, within tolerance, or the first one that differs. For a sweep the
best trial is repeated, for an ablation one trial of each condition. Only records are needed; they are not changed.

With --debug, run one recorded trial, or one stage of it, with any outcome (completed, pruned, failed, diverged,
unfinished): in this process, from its first epoch, on recorded inputs. breakpoint() in a stage stops there. The
traceback of an exception begins in the code of the stage, and in a terminal pdb opens where it was raised. Nothing is
compared."""
_EXIT_CODES = (
    "Exit code: 0 reproduced (with --dry-run: can be restored), 1 not reproduced, 2 bad input and nothing was started, "
    "130 interrupted (Ctrl-C)."
)
_STYLES = {
    "restored": "green",
    "differs": "red",
    "unknown": "yellow",
    "bit-equal": "green",
    "within tolerance": "green",
}


@dataclass(frozen=True)
class Request:
    """The options of the command line."""

    dry_run: bool
    from_inputs: bool
    stages: frozenset[str]
    """The stages that are repeated; empty for all."""
    tolerance: Tolerance
    keep: Path | None
    """Folder for the store of the repetition."""


@dataclass(frozen=True)
class TrialOutcome:
    """The result of repeating one trial."""

    trial: RecordedTrial
    restoration: Restoration
    outcomes: tuple[RepeatOutcome, ...] = ()

    @property
    def is_reproduced(self) -> bool:
        """Whether the trial can be restored and all repeated stage runs have the same results."""
        restored = self.restoration.config is not None and self.restoration.intact
        return restored and all(outcome.verdict in REPRODUCED for outcome in self.outcomes)

    @property
    def finding(self) -> str | None:
        """Why the trial is not reproduced; None if it is."""
        if self.is_reproduced:
            return None
        for outcome in self.outcomes:
            if outcome.verdict not in REPRODUCED:
                return f"{outcome.stage} ({outcome.identity}) {outcome.verdict}: {outcome.text}"
        what = "records" if self.restoration.config is not None else "config, identities"
        facts = [fact for fact in self.restoration.facts if fact.what in what and fact.state == "differs"]
        return "; ".join(f"{fact.what}: {fact.text}" for fact in facts)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts = [asdict(fact) for fact in self.restoration.facts]
        stages = [outcome.to_json() for outcome in self.outcomes]
        return {"trial": self.trial.name, "facts": facts, "stages": stages, "finding": self.finding}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("reproduce", _DESCRIPTION, exit_codes=_EXIT_CODES)
    parser.add_argument(
        "name", metavar="STUDY|TRIAL", help="a study, study/trial, or the name of a trial that only one study has"
    )
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--trials", type=positive, metavar="N", help="number of trials of the study, best first")
    several.add_argument("--all", action="store_true", help="every completed trial of the study")
    parser.add_argument("--dry-run", action="store_true", help="only check what can be restored")
    debug = "run STUDY/TRIAL in this process, without catching exceptions (default: the stages that are not stored)"
    parser.add_argument("--debug", action="store_true", help=debug)
    parser.add_argument("--from-inputs", action="store_true", help="repeat each stage run with its recorded inputs")
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="NAME",
        help="with --from-inputs or --debug: only this stage; may be repeated",
    )
    default = Tolerance()
    parser.add_argument(
        "--rtol", type=_share, default=default.rtol, help=f"relative tolerance (default: {default.rtol:g})"
    )
    parser.add_argument(
        "--atol", type=_share, default=default.atol, help=f"absolute tolerance (default: {default.atol:g})"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the store of the repetition in an empty folder"
    )
    add_trust(parser)
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    quiet_loading()
    request = _request(arguments)
    store = open_readable(options)
    study, _ = resolve_trial(store, arguments.name)
    with trusted_plugins(store, study, trusted=arguments.trusted).active():
        if arguments.debug:
            return _debug(recorded_trial(store, arguments.name), store, request, options)
        selection = choose_trials(store, arguments.name, count=arguments.trials, everything=arguments.all)
        return _reproduce(selection, store, request, options)


def _share(text: str) -> float:
    """Return the finite number of 0 or more in `text`, for argparse."""
    number = float(text)
    if not 0.0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more and finite, but got {text}")
    return number


def _request(arguments: argparse.Namespace) -> Request:
    keep: Path | None = arguments.keep
    if arguments.stage and not (arguments.from_inputs or arguments.debug):
        raise UserError("--stage needs --from-inputs or --debug: without them the inputs are repeated, too")
    if arguments.debug and (arguments.trials is not None or arguments.all or arguments.dry_run):
        raise UserError("--debug runs one trial: it cannot be combined with --trials, --all or --dry-run")
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UserError(f"--keep: {keep} is not an empty folder; its files would count as results of the repetition")
    tolerance = Tolerance(arguments.rtol, arguments.atol)
    return Request(arguments.dry_run, arguments.from_inputs, frozenset(arguments.stage), tolerance, keep)


def _reproduce(selection: TrialSelection, store: Store, request: Request, options: Options) -> Answer:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    stages = [run.stage for trial in selection.trials for run in trial.runs]
    for name in sorted(request.stages - set(stages)):
        raise UserError(f"--stage {name}: no chosen trial has it; {nearest(name, stages)}")
    console.print(f"{', '.join(trial.name for trial in selection.trials)} ({selection.reason})", style="bold")
    with _scratch(request, options.home) as scratch:
        repeated = LocalStore(scratch / "store" if request.keep is None else request.keep.absolute())
        outcomes = list(_outcomes(selection.trials, RepetitionStores(store, repeated, scratch), request, console))
    is_reproduced = all(outcome.is_reproduced for outcome in outcomes)
    _conclude(outcomes, request, console)
    value = {"why": selection.reason, "reproduced": is_reproduced and not request.dry_run, **asdict(request.tolerance)}
    return Answer({**value, "trials": [outcome.to_json() for outcome in outcomes]}, exit_code=0 if is_reproduced else 1)


def _debug(trial: RecordedTrial, store: Store, request: Request, options: Options) -> Answer:
    """Run the requested stages of one trial, and show the exception that ends it."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with _scratch(request, options.home) as scratch:
        plan = plan_debugging(trial, RunStore(store, cache=scratch / "cache"), request.stages)
        console.print(debug_heading(plan), style="bold")
        repeated = LocalStore(scratch / "store" if request.keep is None else request.keep.absolute())
        stages: list[dict[str, Any]] = []
        try:
            for run, manifest in debug_runs(plan, RepetitionStores(store, repeated, scratch)):
                metrics = ", ".join(f"{name} {value:.6g}" for name, value in manifest.metrics.items())
                console.print(f"  {run.stage} ended in {duration(manifest.seconds)}: {metrics or 'no metrics'}")
                stages.append({"stage": run.stage, "identity": run.identity, "metrics": dict(manifest.metrics)})
        except Exception as error:  # the user wants to see any exception of a stage
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(traceback_text(error))
            if sys.stdin.isatty() and not options.as_json:
                pdb.post_mortem(own_frames(error))
            return Answer({"trial": trial.name, "error": f"{type(error).__name__}: {error}"}, exit_code=1)
    return Answer({"trial": trial.name, "outcome": trial.result.outcome, "stages": stages})


@contextmanager
def _scratch(request: Request, home: Path) -> Iterator[Path]:
    """Yield a folder that is deleted at the end: in `home`, or for a dry run in the temporary folder."""
    parent = None if request.dry_run else home / "scratch"
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=parent) as folder:
        yield Path(folder)


def _outcomes(
    trials: Sequence[RecordedTrial], stores: RepetitionStores, request: Request, console: Console
) -> Iterator[TrialOutcome]:
    repetition = Repetition(stores, request.tolerance, from_inputs=request.from_inputs)
    recorded = RunStore(stores.recorded, cache=stores.scratch / "cache")
    for trial in trials:
        restoration = restore_trial(trial, recorded)
        _show(trial, restoration, console)
        outcomes: tuple[RepeatOutcome, ...] = ()
        if restoration.config is not None and not request.dry_run:
            runs = [run for run in trial.runs if not request.stages or run.stage in request.stages]
            outcomes = tuple(_repeat(runs, restoration, repetition, console))
        yield TrialOutcome(trial, restoration, outcomes)


def _show(trial: RecordedTrial, restoration: Restoration, console: Console) -> None:
    """Print what can be restored of `trial`."""
    table = Table(title=f"what can be restored of {trial.name}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("", "", ""):
        table.add_column(column, overflow="fold")
    for fact in restoration.facts:
        table.add_row(fact.what, Text(fact.state, _STYLES[fact.state]), fact.text)
    console.print(table)


def _repeat(
    runs: Sequence[StageRun], restoration: Restoration, repetition: Repetition, console: Console
) -> Iterator[RepeatOutcome]:
    """Repeat `runs` in order, and print the outcome of each."""
    config, manifests = restoration.config, restoration.manifests
    assert config is not None
    expected = sum(manifests[run.stage].seconds for run in runs if run.stage in manifests)
    console.print(f"{len(runs)} stage runs, {duration(expected)} when they were recorded")
    for run in runs:
        recorded = manifests.get(run.stage)
        about = "" if recorded is None else f", {duration(recorded.seconds)} when recorded"
        with console.status(f"{run.stage}{about}") as status:
            epochs = _Epochs(status, f"{run.stage}{about}")
            outcome = repetition.repeat(run, config, recorded, report=epochs)
        timing = "" if outcome.verdict == "skipped" else f" in {duration(outcome.seconds)}{about}"
        console.print(
            f"  {run.stage:12} ", Text(outcome.verdict, _STYLES.get(outcome.verdict, "red")), f"{timing}: ", end=""
        )
        console.print(outcome.text)
        yield outcome


class _Epochs:
    """Shows the progress of a stage run."""

    def __init__(self, status: Status, text: str) -> None:
        self._status, self._text = status, text

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._status.update(f"{self._text}: epoch {epoch}")


def _conclude(trials: Sequence[TrialOutcome], request: Request, console: Console) -> None:
    """Print a summary."""
    for trial in trials:
        if trial.finding is not None:
            console.print(f"{trial.trial.name}: not reproduced: {trial.finding}", style="red")
    if request.dry_run:
        console.print("nothing was run: --dry-run")
        return
    verdicts = {outcome.identity: outcome.verdict for trial in trials for outcome in trial.outcomes}
    counts = ", ".join(f"{number} {verdict}" for verdict, number in Counter(verdicts.values()).items())
    console.print(f"{len(verdicts)} stage runs: {counts or 'none was run again'}", style="bold")
    if "within tolerance" in counts:
        console.print(
            f"tolerance: {request.tolerance.atol:g} + {request.tolerance.rtol:g} * |recorded|; one level of uint8"
        )


if __name__ == "__main__":
    run_command(main)
