"""What a sweep found, as numbers: its best points, how much seeds vary, where trials were stopped, what it cost."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np

from platform.analysis.measures import Measure
from platform.analysis.search_result import SearchResult
from platform.record.results import Result, format_value, pareto
from platform.record.trial_record import TrialRecord
from platform.statistics.selection import luck_of_the_best, spread_within
from platform.study.domains import Choice, Integers
from trainables.metrics.metric import Metric


@dataclass(frozen=True)
class TrialRuns:
    """The stage runs of a finished trial."""

    identities: Mapping[str, str]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class SweepFindings:
    """All numbers of a report about a sweep."""

    search: SearchResult

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The targets, with their texts."""
        return tuple(map(Measure, self.search.study.targets))

    @property
    def order(self) -> tuple[Result, ...]:
        """The completed points that satisfy the outcome constraints, best first; with several targets their front."""
        return self.search.allowed

    @cached_property
    def listed(self) -> tuple[Result, ...]:
        """All completed points: those of `order`, then those that violate an outcome constraint."""
        return self.search.completed

    @cached_property
    def front(self) -> tuple[Result, ...]:
        """The points of the Pareto front; the best point if there is one target."""
        targets = self.search.study.targets
        return pareto(self.order, targets) if len(targets) > 1 else self.order[:1]

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Swept field to the value that it has without the search."""
        return self.search.study.space.fields_of({})

    def values(self, target: Metric) -> list[list[float]]:
        """Return the values of `target` of each completed point, one per repeat."""
        trials: dict[int, list[float]] = {point.point: [] for point in self.order}
        for trial in self.search.trials:
            if trial.point in trials and (value := trial.value(target)) is not None:
                trials[trial.point].append(value)
        return list(trials.values())

    def spread_of(self, point: Result, target: Metric) -> float:
        """Return the standard deviation of the repeats of `point`; NaN for one repeat."""
        trials = [trial for trial in self.search.trials if trial.point == point.point]
        values = [value for trial in trials if (value := trial.value(target)) is not None]
        return stdev(values) if len(values) > 1 else math.nan

    def luck(self, target: Metric) -> tuple[float, float]:
        """Return the spread between repeats, and what it adds to the best point by chance; NaN for one repeat."""
        values = self.values(target)
        if not values or len({len(row) for row in values}) != 1:
            return math.nan, math.nan
        table = np.array(values, dtype=np.float64)
        return spread_within(table), luck_of_the_best(table)

    @cached_property
    def stopped(self) -> Counter[int]:
        """Epoch of the first target's stage to the number of trials that were stopped there."""
        ends = (record.finished for record in self.search.records)
        return Counter(end.step for end in ends if end is not None and end.outcome == "PRUNED" and end.step is not None)

    @cached_property
    def never_completed(self) -> Mapping[str, tuple[str, ...]]:
        """Field with few values to those that were tried, but with which no point was trained to the end, as texts."""
        if not self.stopped:
            return {}
        domains = self.search.study.space.domains
        few = [name for name, domain in domains.items() if isinstance(domain, Choice | Integers)]
        tried = {name: dict.fromkeys(map(format_value, self.tried(name))) for name in few}
        completed = {name: {format_value(p.values[name]) for p in self.listed if name in p.values} for name in few}
        lost = {name: tuple(text for text in tried[name] if text not in completed[name]) for name in few}
        return {name: texts for name, texts in lost.items() if texts}

    def tried(self, name: str) -> list[Any]:
        """Return the values of the field `name` of all points that have it; numbers in order."""
        values = [point.values[name] for point in self.search.points if name in point.values]
        return sorted(values) if all(isinstance(value, int | float) for value in values) else values

    @cached_property
    def epochs(self) -> tuple[int, int]:
        """Number of epochs of the first target's stage that trials trained, and that they would have to the end.

        None of either, if the stage has no epochs.
        """
        target, full = self.search.study.targets[0].name, self.search.study.max_epochs()
        if full is None:
            return 0, 0
        curves = [record.curve(target) for record in self.search.records if record.finished is not None]
        trained = [max(curve) for curve in curves if curve]
        return sum(trained), full * len(trained)

    @cached_property
    def runs(self) -> tuple[TrialRuns, ...]:
        """The stage runs of all trials that report some."""
        return tuple(map(_runs, self._ended))

    @property
    def seconds_stopped(self) -> float:
        """Seconds of the trials that were stopped early; they report no stage runs."""
        return sum(trial.seconds for trial in self.search.trials if trial.outcome == "PRUNED")

    @property
    def failed(self) -> tuple[Result, ...]:
        """The trials that failed."""
        return tuple(trial for trial in self.search.trials if trial.outcome == "FAILED")

    @property
    def _ended(self) -> Iterable[TrialRecord]:
        return (record for record in self.search.records if record.finished is not None and record.finished.runs)

    def gain(self, target: Metric) -> float:
        """Return by how much the best point is better than the point tried first; NaN if either has no value."""
        first = self.search.first
        before = None if first is None else first.value(target)
        after = self.order[0].value(target) if self.order else None
        if before is None or after is None:
            return math.nan
        return after - before if target.goal == "max" else before - after


def _runs(record: TrialRecord) -> TrialRuns:
    end = record.finished
    assert end is not None
    identities = {stage: run["identity"] for stage, run in end.runs.items()}
    return TrialRuns(identities, {stage: run["seconds"] for stage, run in end.runs.items()})


def mean_seconds(trials: Sequence[Result]) -> float:
    """Return the mean time of `trials`; NaN for none."""
    return fmean(trial.seconds for trial in trials) if trials else math.nan
