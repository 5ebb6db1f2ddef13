"""The results of a sweep, read from the store alone: its points in order, and the point that it tried first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from platform.errors import UserError, nearest
from platform.events import TrialEvent
from platform.record.results import Result, averaged, counts_text, divided, ranked, results_of
from platform.record.study_from_store import recorded_study
from platform.record.trial_record import TrialRecord, reduce_events
from platform.study.study import Study
from storage.base import Store
from storage.events import EventLog
from storage.studies import list_studies, load_calls, load_definition
from trainables.metrics.metric import Metric


@dataclass(frozen=True)
class SearchResult:
    """A sweep and all its trials."""

    study: Study
    """As it was last run."""
    records: Sequence[TrialRecord]
    code: Mapping[str, str] = field(default_factory=dict)
    """Commit and versions of the last call, as `tags_here` names them."""

    @cached_property
    def trials(self) -> tuple[Result, ...]:
        """The result of each trial, by name."""
        return results_of(self.records)

    @cached_property
    def points(self) -> tuple[Result, ...]:
        """The points in the order of their numbers, each the mean over its repeats."""
        return averaged(self.trials)

    @cached_property
    def completed(self) -> tuple[Result, ...]:
        """The points with all targets, best first."""
        return ranked(self.points, self.study.targets, self.study.outcome_constraints)

    @cached_property
    def allowed(self) -> tuple[Result, ...]:
        """The completed points that satisfy all outcome constraints, best first."""
        return divided(self.completed, self.study.outcome_constraints)[0]

    @property
    def open_points(self) -> int:
        """Number of planned points that have not ended."""
        return self.study.trials - sum(point.outcome is not None for point in self.points)

    @property
    def ended_points(self) -> int:
        """Number of planned points that have ended."""
        return self.study.trials - self.open_points

    @property
    def counts(self) -> str:
        """The numbers of trials by outcome, as text."""
        return counts_text(self.trials)

    @property
    def first(self) -> Result | None:
        """The first of the points that its file lists; None if a sampler drew all points, or it was not tried."""
        listed = self.study.space.points
        return next((point for point in self.points if point.point == 0), None) if listed else None

    def ordered_by(self, target: Metric) -> tuple[Result, ...]:
        """Return the points with a value of `target` that satisfy all outcome constraints, best first."""
        return ranked(divided(self.points, self.study.outcome_constraints)[0], [target])

    def named(self, name: str | None) -> Metric:
        """Return the target `name`, or the only target.

        Raises:
            UserError: It has no such target, or several and `name` is None.
        """
        names = [target.name for target in self.study.targets]
        if name is None and len(names) > 1:
            listed = " or ".join(f"--target {target}" for target in names)
            raise UserError(
                f"{self.study.id} has {len(names)} targets, so no point is the best in all of them; choose the one by "
                f"which its points are ordered: {listed}"
            )
        if name is not None and name not in names:
            raise UserError(f"--target {name}: {self.study.id} has no such target; {nearest(name, names)}")
        return self.study.targets[0 if name is None else names.index(name)]


def read_search(store: Store, study_id: str) -> SearchResult:
    """Return the sweep `study_id` with its results.

    Raises:
        UserError: It is an ablation, or this version cannot read it.
        storage.errors.StoreError: The records are damaged or cannot be read.
    """
    study = recorded_study(store, study_id)
    if not study.has_best:
        raise UserError(
            f"{study_id} is an ablation: its conditions are compared already, and none of them is chosen; "
            f"python -m platform.report {study_id} writes its report"
        )
    records = reduce_events(map(TrialEvent.from_json, EventLog(store, study_id).read()))
    calls = load_calls(store, study_id)
    return SearchResult(study, tuple(records.values()), calls[-1].get("provenance", {}) if calls else {})


def follow_ups_of(store: Store, study_id: str) -> tuple[str, ...]:
    """Return the ablations in `store` that confirm the sweep `study_id` or take its best point apart, by name."""
    name = study_id.rpartition("-")[0]
    candidates = [study for study in list_studies(store) if study.startswith(f"{name}-") and study != study_id]
    return tuple(study for study in candidates if _origin(store, study) == study_id)


def _origin(store: Store, study: str) -> str | None:
    search = load_definition(store, study)["definition"].get("search", {})
    return search.get("study") if isinstance(search, dict) else None
