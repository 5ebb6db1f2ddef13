"""The results of all trials and points of a study, from its events: the rows behind tables, figures and views."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from platform.events import Outcome, TrialEvent
from platform.record.trial_record import TrialRecord, reduce_events
from platform.study.outcome_constraints import OutcomeConstraint, violated_by
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS

OUTCOME_WORDS = {"COMPLETED": "completed", "PRUNED": "stopped early", "FAILED": "failed"}
_RETRIEVAL = re.compile(r"retrieval_(image|text)_")


@dataclass(frozen=True)
class Result:
    """The current result of a trial or, from `averaged`, of a point over its repeats."""

    trial: str
    point: int = 0
    repeat: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    """Swept field to value; conditional fields are absent where their condition does not hold."""
    outcome: Outcome | None = None
    """None until the trial is finished."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    finished: float = 0.0
    """Seconds since 1970."""
    error: str | None = None
    """Why it failed: a traceback, or the metric without a finite value."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """Stage name to the identity of its run."""
    repeats: int = 1
    """How many trials the metrics are the mean of."""

    @property
    def label(self) -> str:
        """The name in tables and figures: the trial or, of a mean over repeats, `t0007, mean of 3 seeds`."""
        if self.repeats == 1:
            return self.trial
        return f"{self.trial.removesuffix(f'-s{self.repeat}')}, mean of {self.repeats} seeds"

    def to_json(self) -> dict[str, Any]:
        """Return what tables show of it, as plain JSON values; `outcome` is null until it ends."""
        values, metrics = dict(self.values), dict(self.metrics)
        own = {"trial": self.trial, "outcome": self.outcome, "seconds": self.seconds}
        return {**own, "values": values, "metrics": metrics}

    def value(self, metric: Metric) -> float | None:
        """Return the value of `metric`; None unless the trial completed with a finite value."""
        value = self.metrics.get(metric.name)
        usable = self.outcome == "COMPLETED" and value is not None and math.isfinite(value)
        return value if usable else None


def results_from_events(events: Iterable[TrialEvent]) -> tuple[Result, ...]:
    """Return one result per trial, sorted by name. The events of a trial must be in order."""
    return results_of(reduce_events(events).values())


def results_of(records: Iterable[TrialRecord]) -> tuple[Result, ...]:
    """Return one result per record, sorted by the name of the trial."""
    return tuple(result_of(record) for record in sorted(records, key=lambda record: record.trial))


def result_of(record: TrialRecord) -> Result:
    """Return the current result of a trial."""
    result, proposed, end = Result(record.trial), record.proposed, record.finished
    if proposed is not None:
        result = replace(
            result,
            point=proposed.point,
            repeat=proposed.repeat,
            values=proposed.values,
            identities=proposed.identities,
        )
    if end is not None:
        result = replace(
            result, outcome=end.outcome, metrics=end.metrics, error=end.error, seconds=end.seconds, finished=end.time
        )
    return result


def averaged(results: Iterable[Result]) -> tuple[Result, ...]:
    """Return one result per point, with the means over its repeats.

    A point is completed only if all its repeats are: a mean over the successful seeds alone would be biased upwards.
    """
    points: dict[int, list[Result]] = defaultdict(list)
    for result in results:
        points[result.point].append(result)
    return tuple(_mean(points[point]) for point in sorted(points))


def _mean(repeats: Sequence[Result]) -> Result:
    for outcome in ("FAILED", "PRUNED", None):
        if any(result.outcome == outcome for result in repeats):
            return next(result for result in repeats if result.outcome == outcome)
    shared = set.intersection(*(set(result.metrics) for result in repeats))
    metrics = {name: fmean(result.metrics[name] for result in repeats) for name in sorted(shared)}
    seconds = fmean(result.seconds for result in repeats)
    last = max(result.finished for result in repeats)
    return replace(repeats[0], metrics=metrics, seconds=seconds, finished=last, repeats=len(repeats))


def controls(result: Result, target: Metric) -> dict[str, float]:
    """Return the values of the controls of `target` on the same clips, as far as the stage measured them.

    For example, `motion.rollout_mse` has `rollout_mse_static` and `rollout_mse_mean`; retrieval has its chance level.
    """
    start = f"{target.name}_"
    # `hue_cos_legacy` and its controls are not controls of `hue_cos`
    names = tuple(name for name in METRICS if name.startswith(start))
    labels = {
        name: name.removeprefix(start)
        for name in result.metrics
        if name.startswith(start) and not name.startswith(names)
    }
    chance = _RETRIEVAL.sub("retrieval_chance_", target.name)
    if chance != target.name and chance in result.metrics:
        labels[chance] = "chance"
    return {label: result.metrics[name] for name, label in labels.items()}


def better(metric: Metric, a: float, b: float) -> bool:
    """Return whether value `a` of `metric` is strictly better than `b`."""
    return a < b if metric.goal == "min" else a > b


def ranked(
    results: Iterable[Result], targets: Sequence[Metric], outcome_constraints: Sequence[OutcomeConstraint] = ()
) -> tuple[Result, ...]:
    """Return the completed results that have all targets, best first.

    With one target they are sorted by its value. With several, the Pareto front comes first, then the others; both
    are sorted by the first target. Results that violate one of `outcome_constraints` come after all others.
    """
    usable = [result for result in results if all(result.value(target) is not None for target in targets)]
    allowed, others = divided(usable, outcome_constraints)
    return (*_ordered(allowed, targets), *_ordered(others, targets))


def _ordered(usable: Sequence[Result], targets: Sequence[Metric]) -> list[Result]:
    front = {result.trial for result in pareto(usable, targets)} if len(targets) > 1 else set()
    sign = 1.0 if targets[0].goal == "min" else -1.0
    return sorted(usable, key=lambda r: (r.trial not in front, sign * r.metrics[targets[0].name], r.trial))


def divided(
    results: Iterable[Result], outcome_constraints: Sequence[OutcomeConstraint]
) -> tuple[tuple[Result, ...], tuple[Result, ...]]:
    """Return the results that satisfy all `outcome_constraints`, and those that violate one."""
    parts: tuple[list[Result], list[Result]] = ([], [])
    for result in results:
        parts[bool(violated_by(result.metrics, outcome_constraints))].append(result)
    return tuple(parts[0]), tuple(parts[1])


def pareto(results: Sequence[Result], targets: Sequence[Metric]) -> tuple[Result, ...]:
    """Return the Pareto front: results for which no other is at least as good in all targets and better in one."""

    def beats(a: Result, b: Result) -> bool:
        pairs = [(t, a.metrics[t.name], b.metrics[t.name]) for t in targets]
        return any(better(t, x, y) for t, x, y in pairs) and not any(better(t, y, x) for t, x, y in pairs)

    return tuple(result for result in results if not any(beats(other, result) for other in results))


def best_so_far(
    results: Iterable[Result], target: Metric, outcome_constraints: Sequence[OutcomeConstraint] = ()
) -> list[tuple[int, float, float]]:
    """Return (number of finished results, finish time, best value so far) after each finished result.

    The series starts at the first result with a value. Results that violate a constraint are counted, but not best.
    """
    series: list[tuple[int, float, float]] = []
    done = sorted((r for r in results if r.outcome is not None), key=lambda r: (r.finished, r.trial))
    best: float | None = None
    for count, result in enumerate(done, start=1):
        value = None if violated_by(result.metrics, outcome_constraints) else result.value(target)
        if value is not None and (best is None or better(target, value, best)):
            best = value
        if best is not None:
            series.append((count, result.finished, best))
    return series


def outcomes(results: Iterable[Result]) -> dict[str, int]:
    """Return the numbers of completed, pruned, failed and unfinished trials."""
    counts = {"completed": 0, "pruned": 0, "failed": 0, "unfinished": 0}
    for result in results:
        counts["unfinished" if result.outcome is None else result.outcome.lower()] += 1
    return counts


def error_line(error: str | None) -> str:
    """Return the last line of a traceback, which names the error."""
    lines = [line for line in (error or "").strip().splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no error recorded"


def counts_text(results: Sequence[Result]) -> str:
    """Return the numbers of trials by outcome as text: `24 trials: 21 completed, 2 stopped early, 1 failed`."""
    counts = outcomes(results)
    labels = {**{outcome.lower(): label for outcome, label in OUTCOME_WORDS.items()}, "unfinished": "unfinished"}
    noun = "trial" if len(results) == 1 else "trials"
    return f"{len(results)} {noun}: " + ", ".join(
        f"{counts[key]} {label}" for key, label in labels.items() if counts[key]
    )


def format_value(value: Any) -> str:
    """Return a swept value as text for a figure or a table cell."""
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
