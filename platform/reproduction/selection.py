"""Selects the recorded trials to repeat: one by name, or representative trials of a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform.errors import UserError
from platform.events import Proposed, TrialEvent
from platform.record.results import Result, averaged, outcomes, ranked, results_from_events
from platform.record.study_names import resolve_trial
from platform.study.outcome_constraints import OutcomeConstraint, recorded_outcome_constraints
from storage.base import Store
from storage.events import EventLog
from storage.studies import load_definition
from trainables.graph import StageRun
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS

_MOST_LISTED = 8
"""Largest number of trials that a message lists."""


@dataclass(frozen=True)
class RecordedTrial:
    """A trial from its study's events."""

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
class TrialSelection:
    """The trials to repeat, and the reason for this selection."""

    trials: tuple[RecordedTrial, ...]
    reason: str


def choose_trials(store: Store, name: str, *, count: int | None = None, everything: bool = False) -> TrialSelection:
    """Return the trials that `name` (`study`, `trial` or `study/trial`) means.

    For a sweep these are the first repeat of the best point, or the `count` best trials. For an ablation these are one
    trial per condition (first seed, first subject), or the first `count` trials ordered by seed. With `everything`
    these are all completed trials. A study can be named without its hash, and a trial without its study, if the name is
    unique.

    Raises:
        UserError: No study or trial has that name, several have it, or no trial of that name has completed.
    """
    study, trial = resolve_trial(store, name)
    results, proposed = _read(store, study)
    completed = [RecordedTrial(study, r, proposed[r.trial]) for r in results if r.outcome == "COMPLETED"]
    if trial is not None:
        if count is not None or everything:
            raise UserError(f"{name} is one trial: --trials and --all go with a study")
        return TrialSelection((_completed_trial(trial, completed, results),), "as named")
    if not completed:
        raise UserError(f"study {study} has no completed trial to compare with: {outcomes(results)}")
    if everything:
        return TrialSelection(tuple(completed), f"all {len(completed)} completed trials")
    if any(trial.labels for trial in completed):
        ordered, default_count, order = _of_ablation(completed)
    else:
        definition = load_definition(store, study)["definition"]
        targets = [METRICS[name] for name in definition.get("targets", ()) if name in METRICS]
        ordered, default_count, order = _of_sweep(completed, results, targets, recorded_outcome_constraints(definition))
    chosen = tuple(ordered[: default_count if count is None else count])
    return TrialSelection(chosen, f"{len(chosen)} of {len(completed)} completed trials: {order}")


def recorded_trial(store: Store, name: str) -> RecordedTrial:
    """Return the trial that `name` means, with any outcome. Raises `UserError` if there is no such trial."""
    study, trial = resolve_trial(store, name)
    results, proposed = _read(store, study)
    if trial is None:
        failed = [f"{study}/{result.trial}" for result in results if result.outcome == "FAILED"]
        examples = failed[:_MOST_LISTED] or [f"{study}/{result.trial}" for result in results[:1]]
        description = "those that failed" if failed else "such as"
        raise UserError(
            f"{name} is a study; name one trial as STUDY/TRIAL ({description}: {', '.join(examples) or 'none'})"
        )
    result = next(result for result in results if result.trial == trial)
    return RecordedTrial(study, result, proposed[trial])


def _read(store: Store, study: str) -> tuple[tuple[Result, ...], dict[str, Proposed]]:
    """Return the results of the trials of `study`, and their last proposals."""
    events = [TrialEvent.from_json(value) for value in EventLog(store, study).read()]
    return results_from_events(events), {event.trial: event for event in events if isinstance(event, Proposed)}


def _completed_trial(trial: str, completed: Iterable[RecordedTrial], results: Iterable[Result]) -> RecordedTrial:
    for recorded in completed:
        if recorded.result.trial == trial:
            return recorded
    outcome = next((result.outcome for result in results if result.trial == trial), None)
    state = "is unfinished" if outcome is None else f"ended as {outcome.lower()}"
    raise UserError(f"trial {trial} {state}: only completed trials have results to compare with")


def _of_sweep(
    completed: Sequence[RecordedTrial],
    results: Iterable[Result],
    targets: Sequence[Metric],
    outcome_constraints: Sequence[OutcomeConstraint],
) -> tuple[list[RecordedTrial], int, str]:
    """Return the trials, those of the best point first, the default number of trials, and the order as text."""
    points = ranked(averaged(results), targets, outcome_constraints) if targets else ()
    rank = {point.point: position for position, point in enumerate(points)}
    ordered = sorted(completed, key=lambda t: (rank.get(t.result.point, len(rank)), t.result.point, t.result.repeat))
    names = ", ".join(target.name for target in targets)
    return ordered, 1, f"best first, by {names}" if points else "in the order of their names"


def _of_ablation(completed: Sequence[RecordedTrial]) -> tuple[list[RecordedTrial], int, str]:
    """Return the trials, one of each condition (in each data set) first, their number, and the order as text."""
    points = sorted(completed, key=lambda trial: trial.result.point)
    subjects = list(dict.fromkeys(trial.labels["subject"] for trial in points))
    ordered = sorted(points, key=lambda t: (t.result.repeat, subjects.index(t.labels["subject"]), t.result.point))
    firsts: dict[tuple[str, str], RecordedTrial] = {}
    for trial in ordered:
        firsts.setdefault((trial.labels.get("dataset", ""), trial.labels["condition"]), trial)
    chosen = list(firsts.values())
    remaining = [trial for trial in ordered if trial not in chosen]
    return [*chosen, *remaining], len(chosen), "one of each condition, of the first seed and subject that it completed"
