"""The tables of a sweep's report."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform.record.results import Result, controls, error_line, format_value
from platform.reporting.sweep_findings import SweepFindings
from platform.reporting.words import DASH, counted, decimals, number
from platform.screen.units import duration
from platform.study.domains import values_in_words
from trainables.judging.controls import title_of
from trainables.metrics.metric import Metric
from trainables.metrics.metric import notes as metric_notes
from trainables.pages.grid import Cell, Grid

_SHOWN = 10
"""Number of best points in the table."""
_FAILURES = 40


def best_table(findings: SweepFindings) -> Grid:
    """Return the table of the best points, with controls and chance levels below."""
    study = findings.search.study
    fields = study.space.fields
    bounds = tuple(each.text for each in study.outcome_constraints)
    header = ("point", *(measure.heading for measure in findings.measures), *bounds, *fields, "time")
    rows = [tuple(_point(findings, point)) for point in findings.listed[:_SHOWN]]
    controls_of = {t.name: controls(findings.order[0], t) for t in study.targets} if findings.order else {}
    kinds = tuple(dict.fromkeys(kind for levels in controls_of.values() for kind in levels))
    if kinds:
        rows.append((Cell("Controls, in the best point", tone="group"),))
    for kind in kinds:
        cells = (_level(controls_of[target.name].get(kind)) for target in study.targets)
        rows.append((Cell(title_of(kind)), *cells, *(Cell("") for _ in (*bounds, *fields, "time"))))
    if any(measure.chance for measure in findings.measures):
        cells = (Cell(measure.chance or DASH) for measure in findings.measures)
        rows.append((Cell("chance"), *cells, *(Cell("") for _ in (*bounds, *fields, "time"))))
    return Grid("Best points", header, tuple(rows), tuple(_best_notes(findings)))


def _best_notes(findings: SweepFindings) -> Iterator[str]:
    study = findings.search.study
    if study.repeats > 1:
        yield f"Means of {counted(study.repeats, 'seed')}, below them the standard deviation between seeds."
    else:
        yield "One training per point: its spread between seeds is not known."
    if len(study.targets) > 1:
        yield f"● marks the {counted(len(findings.front), 'point')} of the Pareto front."
    if study.outcome_constraints:
        yield "✗ marks a value outside of its bound; such points come after all others, and are never the best."
    if len(findings.listed) > _SHOWN:
        yield f"{len(findings.listed) - _SHOWN} more completed points are in sweep.json."
    yield from metric_notes(measure.metric for measure in findings.measures)


def _point(findings: SweepFindings, point: Result) -> Iterator[Cell]:
    study = findings.search.study
    on_front = len(study.targets) > 1 and point in findings.front
    first = " (tried first)" if findings.search.first is not None and point.point == 0 else ""
    yield Cell(f"t{point.point:04d}{' ●' if on_front else ''}{first}")
    for target in study.targets:
        spread = findings.spread_of(point, target)
        small = (f"± {spread:.2g}",) if math.isfinite(spread) else ()
        yield Cell(f"{point.metrics[target.name]:.4g}", small)
    for constraint in study.outcome_constraints:
        value, outside = point.metrics.get(constraint.metric.name, math.nan), constraint.excess(point.metrics) > 0
        yield Cell(f"{value:.4g}{' ✗' if outside else ''}" if math.isfinite(value) else f"{DASH} ✗")
    for name in study.space.fields:
        yield Cell(format_value(point.values[name]) if name in point.values else DASH)
    yield Cell(duration(point.seconds))


def _level(value: float | None) -> Cell:
    return Cell(DASH, tone="quiet") if value is None else Cell(f"{value:.4g}", tone="quiet")


def space_table(findings: SweepFindings) -> Grid:
    """Return the table of what was searched: domain, default, best value, and what was tried of it."""
    study = findings.search.study
    best: Mapping[str, Any] = findings.order[0].values if findings.order else {}
    rows = []
    for name, domain in study.space.domains.items():
        tried = findings.tried(name)
        # The default of a plug-in's field is in its code, which no report executes.
        default = format_value(findings.defaults[name]) if name in findings.defaults else DASH
        best_value = format_value(best[name]) if name in best else DASH
        rows.append(
            (
                Cell(name),
                Cell(values_in_words(domain), tone="prose"),
                Cell(default),
                Cell(best_value),
                Cell(_tried(tried, is_numeric=domain.is_numeric)),
                Cell(str(len({repr(value) for value in tried}))),
            )
        )
    header = ("field", "searched", "default", "best point", "tried", "different values")
    notes = tuple(f"Constraint: {constraint.text}." for constraint in study.space.constraints)
    return Grid("Search space", header, tuple(rows), notes)


def _tried(values: Sequence[Any], *, is_numeric: bool) -> str:
    """Return which values were tried: the range, or each with the number of its points."""
    if is_numeric and values:
        return f"{format_value(values[0])} to {format_value(values[-1])}"
    return ", ".join(f"{text} ({count})" for text, count in Counter(map(format_value, values)).items()) or DASH


def stopping_table(findings: SweepFindings) -> Grid | None:
    """Return the table of the epochs at which trials were stopped early; None if none was."""
    if not findings.stopped:
        return None
    trained, full = findings.epochs
    ended = sum(trial.outcome is not None for trial in findings.search.trials)
    rows = [(Cell(f"epoch {epoch}"), Cell(str(count))) for epoch, count in sorted(findings.stopped.items())]
    completed = sum(trial.outcome == "COMPLETED" for trial in findings.search.trials)
    rows.append((Cell("trained to the end"), Cell(str(completed))))
    notes = (
        f"{trained:,} of {full:,} epochs were trained ({trained / full:.0%})." if full else "",
        f"Scheduler: {findings.search.study.headline()['scheduler']}. A point that was stopped early is not among the "
        f"best, although it might have become one: {sum(findings.stopped.values())} of {ended} trials.",
        *(
            f"No point with {name} {' or '.join(texts)} was trained to the end: what it can reach is not known."
            for name, texts in findings.never_completed.items()
        ),
    )
    return Grid("Early stopping", ("stopped at", "trials"), tuple(rows), tuple(filter(None, notes)))


def failed_table(findings: SweepFindings) -> Grid | None:
    """Return the table of the trials that failed, with reasons; None if none failed."""
    if not findings.failed:
        return None
    rows = tuple(
        (Cell(trial.trial), Cell(error_line(trial.error), tone="prose")) for trial in findings.failed[:_FAILURES]
    )
    more = len(findings.failed) - _FAILURES
    return Grid("Failed trials", ("trial", "why"), rows, (f"{more:,} more are in sweep.json.",) if more > 0 else ())


def value_text(value: float, target: Metric, *, like: float) -> str:
    """Return a value with the digits of `like`, and its unit."""
    text = number(value, decimals(math.nan, math.nan, of=like))
    return f"{text} {target.unit}" if target.unit else text
