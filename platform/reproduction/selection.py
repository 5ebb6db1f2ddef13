"""Which recorded trials are run again: one by name, or those that stand for a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform.errors import UserError
from platform.events import Proposed, TrialEvent
from platform.record.results import Result, averaged, outcomes, ranked, results_from_events
from platform.record.study_names import resolve_trial
from storage.base import Store
from storage.events import EventLog
from storage.studies import load_definition
from trainables.graph import StageRun
from trainables.metrics.registry import METRICS, Metric

_SOME = 8
"""Most trials that a message names."""


@dataclass(frozen=True)
class RecordedTrial:
    """A trial, as its study's events tell of it."""

    study: str
    result: Result
    proposed: Proposed
    """Its last proposal."""

    @property
    def name(self) -> str:
        """`study/trial`."""
        return f"{self.study}/{self.result.trial}"

    @property
    def runs(self) -> tuple[StageRun, ...]:
        """Its stage runs, inputs first."""
        return tuple(StageRun.from_json(run) for run in self.proposed.runs)

    @property
    def labels(self) -> Mapping[str, str]:
        """Condition, subject, seed and block; empty for a trial of a sweep."""
        return self.proposed.labels


@dataclass(frozen=True)
class Chosen:
    """Trials to run again, and why these."""

    trials: tuple[RecordedTrial, ...]
    why: str


def choose_trials(store: Store, name: str, *, count: int | None = None, everything: bool = False) -> Chosen:
    """Return the trials that `name` (`study`, `trial` or `study/trial`) stands for.

    Of a sweep that is the best point's first repeat, or the `count` best trials; of an ablation one trial for each
    condition, of the first seed and subject, or the first `count` trials, seed by seed; or `everything` completed.
    A study may be named without its hash, and a trial without its study, where only one fits.

    Raises:
        UserError: No study or trial has that name, several have it, or it names nothing that completed.
    """
    study, trial = resolve_trial(store, name)
    results, proposed = _read(store, study)
    completed = [RecordedTrial(study, r, proposed[r.trial]) for r in results if r.outcome == "COMPLETED"]
    if trial is not None:
        if count is not None or everything:
            raise UserError(f"{name} is one trial: --trials and --all go with a study")
        return Chosen((_one(trial, completed, results),), "as named")
    if not completed:
        raise UserError(f"study {study} has no completed trial to compare with: {outcomes(results)}")
    if everything:
        return Chosen(tuple(completed), f"all {len(completed)} completed trials")
    if any(trial.labels for trial in completed):
        ordered, usual, order = _of_ablation(completed)
    else:
        targets = load_definition(store, study)["definition"].get("targets", ())
        ordered, usual, order = _of_sweep(completed, results, [METRICS[name] for name in targets if name in METRICS])
    chosen = tuple(ordered[: usual if count is None else count])
    return Chosen(chosen, f"{len(chosen)} of {len(completed)} completed trials: {order}")


def recorded_trial(store: Store, name: str) -> RecordedTrial:
    """Return the trial that `name` means, whatever became of it. Raises `UserError` unless it is one that was begun."""
    study, trial = resolve_trial(store, name)
    results, proposed = _read(store, study)
    if trial is None:
        failed = [f"{study}/{result.trial}" for result in results if result.outcome == "FAILED"]
        examples = failed[:_SOME] or [f"{study}/{result.trial}" for result in results[:1]]
        which = "those that failed" if failed else "such as"
        raise UserError(f"{name} is a study; name one trial as STUDY/TRIAL ({which}: {', '.join(examples) or 'none'})")
    result = next(result for result in results if result.trial == trial)
    return RecordedTrial(study, result, proposed[trial])


def _read(store: Store, study: str) -> tuple[tuple[Result, ...], dict[str, Proposed]]:
    """Return what became of the trials of `study`, and their last proposals."""
    events = [TrialEvent.from_json(value) for value in EventLog(store, study).read()]
    return results_from_events(events), {event.trial: event for event in events if isinstance(event, Proposed)}


def _one(trial: str, completed: Iterable[RecordedTrial], results: Iterable[Result]) -> RecordedTrial:
    for recorded in completed:
        if recorded.result.trial == trial:
            return recorded
    outcome = next((result.outcome for result in results if result.trial == trial), None)
    how = "is unfinished" if outcome is None else f"ended as {outcome.lower()}"
    raise UserError(f"trial {trial} {how}: only what completed has results to compare with")


def _of_sweep(
    completed: Sequence[RecordedTrial], results: Iterable[Result], targets: Sequence[Metric]
) -> tuple[list[RecordedTrial], int, str]:
    """Return the trials of the best point first, how many to take unless told, and the order in words."""
    points = ranked(averaged(results), targets) if targets else ()
    place = {point.point: position for position, point in enumerate(points)}
    ordered = sorted(completed, key=lambda t: (place.get(t.result.point, len(place)), t.result.point, t.result.repeat))
    names = ", ".join(target.name for target in targets)
    return ordered, 1, f"best first, by {names}" if points else "in the order of their names"


def _of_ablation(completed: Sequence[RecordedTrial]) -> tuple[list[RecordedTrial], int, str]:
    """Return one trial of each condition first, how many these are, and the order in words."""
    points = sorted(completed, key=lambda trial: trial.result.point)
    subjects = list(dict.fromkeys(trial.labels["subject"] for trial in points))
    ordered = sorted(points, key=lambda t: (t.result.repeat, subjects.index(t.labels["subject"]), t.result.point))
    firsts: dict[str, RecordedTrial] = {}
    for trial in ordered:
        firsts.setdefault(trial.labels["condition"], trial)
    chosen = list(firsts.values())
    rest = [trial for trial in ordered if trial not in chosen]
    return [*chosen, *rest], len(chosen), "one of each condition, of the first seed and subject that it completed"
