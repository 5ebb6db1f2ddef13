"""What became of every trial and point of a study, from events: the rows that tables, figures and views are made of."""

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
from trainables.metrics.registry import METRICS, Metric

OUTCOME_WORDS = {"COMPLETED": "completed", "PRUNED": "stopped early", "FAILED": "failed"}
_RETRIEVAL = re.compile(r"retrieval_(image|text)_")


@dataclass(frozen=True)
class Result:
    """One trial so far or, from `averaged`, one point over its repeats."""

    trial: str
    point: int = 0
    repeat: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    """Swept field to value; conditional fields are absent where their condition does not hold."""
    outcome: Outcome | None = None
    """None while it is not finished."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    finished: float = 0.0
    """Seconds since 1970."""
    error: str | None = None
    """Why it failed: a traceback, or which metric had no finite value."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """Stage name to the identity of its run."""
    repeats: int = 1
    """How many trials the metrics are the mean of."""

    def value(self, metric: Metric) -> float | None:
        """Return what it reached in `metric`; None unless it completed with a finite number."""
        found = self.metrics.get(metric.name)
        usable = self.outcome == "COMPLETED" and found is not None and math.isfinite(found)
        return found if usable else None


def results_from_events(events: Iterable[TrialEvent]) -> tuple[Result, ...]:
    """Return one result per trial, in the order of their names; events come in order within a trial."""
    return results_of(reduce_events(events).values())


def results_of(records: Iterable[TrialRecord]) -> tuple[Result, ...]:
    """Return one result per record, in the order of the trials' names."""
    return tuple(result_of(record) for record in sorted(records, key=lambda record: record.trial))


def result_of(record: TrialRecord) -> Result:
    """Return what became of one trial so far."""
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

    It counts as completed only if all repeats are: a mean over those seeds that went well would be too good.
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
    """Return what knowing nothing scores in `target` on the same clips, as far as the stage measured it.

    `motion.rollout_mse` has `rollout_mse_static` and `rollout_mse_mean` beside it, retrieval its chance level.
    """
    start = f"{target.name}_"
    # `hue_cos_legacy` and its controls are none of `hue_cos`
    others = tuple(name for name in METRICS if name.startswith(start))
    beside = {
        name: name.removeprefix(start)
        for name in result.metrics
        if name.startswith(start) and not name.startswith(others)
    }
    chance = _RETRIEVAL.sub("retrieval_chance_", target.name)
    if chance != target.name and chance in result.metrics:
        beside[chance] = "chance"
    return {label: result.metrics[name] for name, label in beside.items()}


def better(metric: Metric, a: float, b: float) -> bool:
    """Tell whether value `a` of `metric` is strictly better than `b`."""
    return a < b if metric.goal == "min" else a > b


def ranked(results: Iterable[Result], targets: Sequence[Metric]) -> tuple[Result, ...]:
    """Return the completed results that have all targets, best first.

    One target: by its value. Several: the Pareto front first, each part by the first target.
    """
    usable = [result for result in results if all(result.value(target) is not None for target in targets)]
    front = {result.trial for result in pareto(usable, targets)} if len(targets) > 1 else set()
    sign = 1.0 if targets[0].goal == "min" else -1.0
    return tuple(sorted(usable, key=lambda r: (r.trial not in front, sign * r.metrics[targets[0].name], r.trial)))


def pareto(results: Sequence[Result], targets: Sequence[Metric]) -> tuple[Result, ...]:
    """Return the results that no other equals or beats in all targets while beating it in one."""

    def beats(a: Result, b: Result) -> bool:
        pairs = [(t, a.metrics[t.name], b.metrics[t.name]) for t in targets]
        return any(better(t, x, y) for t, x, y in pairs) and not any(better(t, y, x) for t, x, y in pairs)

    return tuple(result for result in results if not any(beats(other, result) for other in results))


def best_so_far(results: Iterable[Result], target: Metric) -> list[tuple[int, float, float]]:
    """Return (finished results so far, finish time, best value so far) after each that improved nothing or something.

    Starts with the first that has a value.
    """
    series: list[tuple[int, float, float]] = []
    done = sorted((r for r in results if r.outcome is not None), key=lambda r: (r.finished, r.trial))
    best: float | None = None
    for count, result in enumerate(done, start=1):
        value = result.value(target)
        if value is not None and (best is None or better(target, value, best)):
            best = value
        if best is not None:
            series.append((count, result.finished, best))
    return series


def outcomes(results: Iterable[Result]) -> dict[str, int]:
    """Return how many trials completed, were stopped early, failed, and are unfinished."""
    counts = {"completed": 0, "pruned": 0, "failed": 0, "unfinished": 0}
    for result in results:
        counts["unfinished" if result.outcome is None else result.outcome.lower()] += 1
    return counts


def error_line(error: str | None) -> str:
    """Return the line of a traceback that says what went wrong: the last one."""
    lines = [line for line in (error or "").strip().splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no error recorded"


def counts_text(results: Sequence[Result]) -> str:
    """Return how the trials ended, in words: `24 trials: 21 completed, 2 stopped early, 1 failed`."""
    counts = outcomes(results)
    words = {**{outcome.lower(): word for outcome, word in OUTCOME_WORDS.items()}, "unfinished": "unfinished"}
    return f"{len(results)} trials: " + ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key])


def format_value(value: Any) -> str:
    """Return a swept value as it stands in a figure or in a table cell."""
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
